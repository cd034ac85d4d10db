"""Language-Table: pushing blocks on a board by language, with the public simulator's rules, physics and protocol.

Importing this package registers ``thinkjepa/LanguageTable-v0`` with Gymnasium.
"""

import gymnasium

gymnasium.register("thinkjepa/LanguageTable-v0", entry_point="envs.language_table.env:LanguageTableEnv")
