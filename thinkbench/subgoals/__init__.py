"""Single sub-goals on the tabletop: one or two moves each, of every kind, stated in words."""
