"""From a state and a goal to actions: sampling-based planning in the world model.

`latent` is the planner that agents call. `config` holds every choice and the named methods, `shooting` the one loop
that they share, `sampling` its random numbers, `subgoals` when to go on to the next sub-goal and when to ask for a new
plan.
"""
