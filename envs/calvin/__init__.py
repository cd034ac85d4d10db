"""CALVIN: the play table, its 34 tasks and its evaluation protocol."""
