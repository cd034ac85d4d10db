"""``harness pack``: a dataset as one small file, for a machine without a simulator."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from harness.cli.options import verb
from harness.dataset import Dataset, DatasetError
from harness.instantiate import ConfigError
from harness.pack import write_pack


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verb(
        verbs,
        "pack",
        _pack,
        "put a dataset into one small file; prints its path",
        """\
The file holds pictures and columns without loss, apart from --size; `harness.pack.load_pack` reads it with numpy alone.

Example:
  harness pack runs/RUN/dataset -o data.npz --size 64 --limit-mib 55
""",
    )
    parser.add_argument("dataset", type=Path, help="a dataset's folder")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the file, for example data.npz")
    parser.add_argument("--size", type=int, help="side of pictures in pixels (default: as they are)")
    parser.add_argument(
        "--columns", nargs="+", metavar="NAME", help="observations to keep, such as observation.robot_obs"
    )
    parser.add_argument("--limit-mib", type=float, help="fail if the file is larger than so many MiB")


def _pack(arguments: argparse.Namespace) -> int:
    if arguments.size is not None and arguments.size < 1:
        raise ConfigError(f"--size {arguments.size}: must be at least 1 pixel")
    try:
        write_pack(Dataset(arguments.dataset), arguments.output, size=arguments.size, columns=arguments.columns)
    except (DatasetError, ValueError) as error:
        raise ConfigError(str(error)) from error
    mib = arguments.output.stat().st_size / 2**20
    print(arguments.output)
    sys.stderr.write(f"{arguments.output}: {mib:.1f} MiB\n")
    if arguments.limit_mib is not None and mib > arguments.limit_mib:
        raise ConfigError(
            f"{arguments.output} has {mib:.1f} MiB, more than --limit-mib {arguments.limit_mib:g}: "
            "choose a smaller --size, fewer --columns, or collect fewer episodes"
        )
    return 0
