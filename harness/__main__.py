"""``python -m harness`` is the same as ``harness``."""

import sys

from harness.cli import main

sys.argv[0] = "harness"  # which runs keep as a part of their command
sys.exit(main())
