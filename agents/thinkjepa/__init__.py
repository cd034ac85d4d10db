"""ThinkJEPA's world model, Goal Projection Interface and planner.

Read in this order: `config` (every size), `encoder` and `vjepa2` (frames to tokens), `predictor` (tokens and an action
to the next tokens), `world_model` (the two together: one state space), `gpi` (a sub-goal in words to a state),
`planner` (a state and a goal to actions), `checkpoints` (a model on disk). `losses`, `masking` and `ema` are what
training is made of.

Shapes: B samples, T frames, N tokens of a frame, D width, A components of an action, H planned steps, E lanes,
P candidates.
"""
