"""Training and examining of reasoners, on sets of plans (`harness.plans`).

`data` makes texts of questions and batches of texts, `tuning` is what a step minimises, `run` one run of
``harness train reasoner`` (its steps are those of `agents.thinkjepa.training.loop`); `answering` is ``harness answer``.
"""
