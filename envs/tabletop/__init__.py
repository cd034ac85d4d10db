"""ThinkBench's world: a Panda arm at a table with blocks, containers and zones.

Importing this package registers ``thinkjepa/Tabletop-v0`` with Gymnasium.
"""

import gymnasium

gymnasium.register("thinkjepa/Tabletop-v0", entry_point="envs.tabletop.env:TabletopEnv")
