"""Names that verbs of the command line and modules share; importing them starts nothing."""

NAME = "thinkbench"

FROZEN = "thinkbench-v1"
"""The suite that ships with the package."""

SUFFIX = ".jsonl.gz"
"""What names of suite files end in."""
