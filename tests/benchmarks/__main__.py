"""Run benchmarks and keep their numbers, for example ``python -m tests.benchmarks harness -o results/reference``."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import time
from pathlib import Path

from harness import provenance

FOLDER = Path(__file__).parent


def main() -> None:
    """The command line."""
    names = sorted(path.stem.removeprefix("bench_") for path in FOLDER.glob("bench_*.py"))
    parser = argparse.ArgumentParser(description="Measure speed and memory; medians of several repetitions.")
    parser.add_argument("names", nargs="*", choices=names, default=names, help="which (default: all)")
    parser.add_argument("-o", "--output", type=Path, help="folder in which the numbers are kept as JSON")
    arguments = parser.parse_args()
    for name in arguments.names:
        print(f"== {name}", flush=True)
        load = os.getloadavg()[0]
        numbers = importlib.import_module(f"tests.benchmarks.bench_{name}").main()
        if arguments.output is not None:
            arguments.output.mkdir(parents=True, exist_ok=True)
            record = {
                "date": time.strftime("%Y-%m-%d"),
                "command": f"python -m tests.benchmarks {name}",
                "load_before": round(load, 1),  # of others; wall-clock times above it are not the harness's own
                "machine": provenance.collect({}) | {"command": None},
                "numbers": numbers,
            }
            (arguments.output / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n")


main()
