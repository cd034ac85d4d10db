"""Training of the world model and of the Goal Projection Interface: ``harness train world_model|gpi``.

Read in this order: `config` and `compose` (what can be chosen), `sources` and `recordings` (datasets in memory),
`draws` (every random number has an address), `objective` with `causal`, `masked` and `subgoals` (what a step
minimises), `loop` (the steps), `state` (what a killed run goes on from), `health` (is it learning or collapsing),
`run` (all of it).
"""
