"""CALVIN: the play table, its 34 tasks and its evaluation protocol.

Importing this package registers ``thinkjepa/CalvinA-v0`` to ``thinkjepa/CalvinD-v0`` with Gymnasium.
"""

import gymnasium

for _scene in "ABCD":
    gymnasium.register(
        f"thinkjepa/Calvin{_scene}-v0", entry_point="envs.calvin.env:CalvinEnv", kwargs={"scene": _scene}
    )
