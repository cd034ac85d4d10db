"""The command line. Each verb lives in a module of its own; other packages add verbs through an entry point.

Exit status of every verb: 0 done, 2 bad configuration or arguments; ``run`` and ``resume`` also 3 (interrupted,
resumable) and 4 (above the error threshold).
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import sys
from collections.abc import Callable, Sequence

import harness
from harness.cli import assets, collect, doctor, export, golden, inspect, pack, replay, run
from harness.executors.base import WorkerStartError
from harness.instantiate import ConfigError
from harness.runs import ExitCode
from harness.scheduler import TooManyErrorsError
from harness.store import StoreError

COMMANDS_GROUP = "thinkjepa_harness.commands"
"""Entry-point group of further verbs: functions that get the subparsers and add their own."""

DESCRIPTION = """\
Evaluate embodied agents on ThinkBench, CALVIN and Language-Table.

  harness run benchmark=thinkbench agent=expert     run an evaluation
  harness plan benchmark=thinkbench agent=expert    what it would do, without doing it
  harness report RUN...                             tables of finished runs
  harness collect benchmark=calvin agent=play       record training data
"""


_OWN = ("agents", "baselines", "configs", "envs", "results", "thinkbench")
"""The project's packages beside this one."""


class Help(argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of descriptions and examples."""


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(prog="harness", description=DESCRIPTION, formatter_class=Help)
    top.add_argument("--version", action="version", version=f"harness {harness.__version__}")
    verbs = top.add_subparsers(title="verbs", dest="verb", metavar="VERB", required=True)
    for module in (run, collect, pack, inspect, replay, export, golden, assets, doctor):
        module.add(verbs)
    for entry in sorted(importlib.metadata.entry_points(group=COMMANDS_GROUP), key=lambda entry: entry.name):
        entry.load()(verbs)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit status."""
    for package in _OWN:  # before folders of these names that lie where one stands
        importlib.import_module(package)
    sys.path.insert(0, os.getcwd())  # so that agent._target_=my_module.MyAgent finds the user's own file
    arguments = parser().parse_args(argv)
    execute: Callable[[argparse.Namespace], int] = arguments.execute
    try:
        return execute(arguments)
    except (ConfigError, StoreError, WorkerStartError) as error:
        print(f"error: {error}", file=sys.stderr)
        return ExitCode.BAD_CONFIG
    except TooManyErrorsError as error:
        print(f"error: {error}", file=sys.stderr)
        return ExitCode.TOO_MANY_ERRORS
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return ExitCode.BAD_CONFIG
