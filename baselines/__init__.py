"""Reference policies: the floor (random, noop) and the privileged experts that bound it from above."""
