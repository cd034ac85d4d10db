"""Errors that a simulated world raises."""


class SimulationError(RuntimeError):
    """The simulation left the realm of physics: NaN, or a body that moves or lies absurdly far out.

    It ends an episode as an *error*, never as a failure of the agent.
    """
