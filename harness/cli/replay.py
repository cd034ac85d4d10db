"""``harness replay``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from harness.cli.options import find_episode, verb
from harness.replaying import replay
from harness.store import RunReader


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verb(
        verbs,
        "replay",
        _replay,
        "re-execute the logged actions of an episode and assert the same outcome, bit for bit",
        """\
Exit status: 0 the same outcome, steps, progress and final simulator state; 1 anything else.

Example:
  harness replay runs/20260101-120000-thinkbench-expert-s0 tower-h3-000 --video tower.mp4
""",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory")
    parser.add_argument("episode", metavar="EPISODE", help="episode id (id#1 for the second repetition) or key")
    parser.add_argument("--video", type=Path, help="write the replay to this mp4 file")


def _replay(arguments: argparse.Namespace) -> int:
    with RunReader(arguments.run) as reader:
        planned = find_episode(reader.plan(), arguments.episode)
        outcome = replay(reader, planned, video=arguments.video is not None)
    result = outcome.result
    print(f"{planned.spec.episode_id}: {result.outcome} after {result.steps} steps, state {result.final_digest[:16]}")
    if arguments.video is not None and result.video is not None:
        arguments.video.write_bytes(result.video)
        print(f"video: {arguments.video}")
    for line in outcome.differences:
        print(f"DIFFERS {line}")
    print("DIFFERENT" if outcome.differences else "identical to the recorded episode")
    return 1 if outcome.differences else 0
