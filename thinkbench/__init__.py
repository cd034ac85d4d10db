"""ThinkBench: task templates, the episodes generated from them, and the benchmark that scores them.

Importing this package registers ``thinkjepa/ThinkBench-v0`` and ``thinkjepa/Subgoals-v0`` with Gymnasium.
"""

import gymnasium

gymnasium.register("thinkjepa/ThinkBench-v0", entry_point="thinkbench.env:ThinkBenchEnv")
gymnasium.register("thinkjepa/Subgoals-v0", entry_point="thinkbench.subgoals.env:SubgoalEnv")
