"""``harness collect``: record training data. A collection is a run like any other, and resumes like any other."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from harness.cli.options import verb
from harness.cli.run import run_all
from harness.collection import DATASET_FOLDER
from harness.dataset import Dataset

SHORT_KEYS = {
    "scene": "protocol.scene",
    "record": "dataset.record",
    "images": "dataset.images",
    "size": "dataset.image_size",
}


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verb(
        verbs,
        "collect",
        _collect,
        "record training data; prints the run directory, whose dataset/ folder holds them",
        """\
Keys as for `harness run`, and:
  limit=N               episodes to record (100 unless given); none of them is an evaluation episode
  seed=N                what the episodes are drawn from
  scene=A,B,C           CALVIN: the play tables, one dataset each
  record=[KEY,...]      observations to record; all that the environment makes unless given
  images=png|jpeg       RGB pictures without loss, or at half the size
  size=N                record RGB pictures at N x N pixels (area means); the agent sees them as the protocol says

Any key=a,b makes one dataset per value. An interrupted collection goes on with `harness resume RUN`.
A collection is no evaluation: `harness report` refuses it.

Examples:
  harness collect benchmark=calvin agent=play scene=A,B,C limit=50 executor=ray executor.workers=2
  harness collect benchmark=subgoals agent=explore limit=8000 size=64 executor=ray executor.workers=2
  harness collect benchmark=thinkbench agent=expert limit=500 'record=[rgb_static,robot_obs]'
""",
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="configuration, see below")
    parser.add_argument("--config-dir", type=Path, help="folder with further groups, such as agent/mine.yaml")


def _collect(arguments: argparse.Namespace) -> int:
    overrides = ["dataset.enabled=true", *map(_full_key, arguments.overrides)]
    return run_all(overrides, multirun=True, config_dir=arguments.config_dir, finished=_summary)


def _full_key(override: str) -> str:
    key, separator, value = override.partition("=")
    return f"{SHORT_KEYS.get(key, key)}{separator}{value}"


def _summary(run_dir: Path) -> None:
    if not (run_dir / DATASET_FOLDER / "SHA256SUMS").exists():
        return
    info = Dataset(run_dir / DATASET_FOLDER).info
    size = sum(path.stat().st_size for path in (run_dir / DATASET_FOLDER).rglob("*") if path.is_file())
    print(
        f"{run_dir / DATASET_FOLDER}: {info['total_episodes']} episodes, {info['total_frames']} frames, "
        f"{info['total_tasks']} instructions, {size / 2**20:.1f} MiB",
        file=sys.stderr,
    )
