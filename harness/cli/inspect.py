"""``harness list`` and ``harness watch``: look at what there is and what goes on."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from rich.live import Live
from rich.table import Table

from harness.cli.options import verb, wide_console
from harness.config import ConfigGroups, ablation_training
from harness.instantiate import ConfigError, locate, reads_truth
from harness.interfaces import Agent
from harness.runs import RUNS_FOLDER
from harness.statistics import wilson
from harness.store import STORE_NAME, RunReader, StoreError

WATCH_SECONDS = 1.0


def add(verbs: Any) -> None:
    """Add the two verbs."""
    listing = verb(verbs, "list", _list, "list benchmarks, agents, protocols, ablations or runs")
    listing.add_argument("what", choices=["benchmarks", "agents", "protocols", "ablations", "runs"])
    listing.add_argument("--runs-dir", type=Path, default=RUNS_FOLDER, help="where runs are looked for (default: runs)")
    listing.add_argument("--config-dir", type=Path, help="folder with further groups, such as agent/mine.yaml")
    watch = verb(verbs, "watch", _watch, "a live table over the log of a run, from any other terminal")
    watch.add_argument("run", type=Path, metavar="RUN", help="a run directory")
    watch.add_argument("--once", action="store_true", help="print the table once and leave")


def _list(arguments: argparse.Namespace) -> int:
    console = wide_console()
    table = Table(box=None, pad_edge=False)
    if arguments.what == "runs":
        for column in ("run", "benchmark", "protocol", "agent", "done", "success", "errors", "state"):
            table.add_column(column, no_wrap=True)
        for path in sorted(arguments.runs_dir.rglob(STORE_NAME)):
            table.add_row(*_run_row(path.parent))
    else:
        group = arguments.what.removesuffix("s")
        table.add_column(group, no_wrap=True)
        table.add_column("what it is")
        groups = ConfigGroups(arguments.config_dir)
        for name in groups.options(group):
            table.add_row(name, _describe(group, groups.load(group, name)))
    console.print(table)
    return 0


def _describe(group: str, option: dict[str, Any]) -> str:
    if group == "protocol":
        return f"{option['name']}@{option['version']}, for benchmark={option['benchmark']}"
    if group == "ablation":
        return f"{option['row']}{' (needs training)' if ablation_training(option) else ''}"
    if not option.get("_target_"):
        return f"your own: {group}._target_=my_module.MyClass"
    try:
        target = locate(option["_target_"], group)
    except ConfigError as error:
        return f"not usable here: {error}"
    summary = (target.__doc__ or "").strip().split("\n")[0]
    is_agent = isinstance(target, type) and issubclass(target, Agent)
    return f"{summary} (privileged)" if is_agent and reads_truth(option) else summary


def _run_row(run_dir: Path) -> tuple[str, ...]:
    try:
        with RunReader(run_dir) as reader:
            identity, counts, state = reader.identity, reader.outcome_counts(), reader.state()
            mark = " (collection)" if reader.is_collection else ""
    except StoreError as error:
        return (str(run_dir), str(error), "", "", "", "", "", "")
    done = counts["success"] + counts["failure"] + counts["error"]
    return (
        str(run_dir),
        identity.benchmark,
        identity.protocol_id + mark,
        f"{identity.agent['name']} (seed {identity.seed})",
        f"{done}/{counts['planned']}",
        _rate(counts),
        str(counts["error"]),
        state,
    )


def _rate(counts: dict[str, int]) -> str:
    valid = counts["success"] + counts["failure"]
    if not valid:
        return "-"
    interval = wilson(counts["success"], valid)
    rate = counts["success"] / valid
    return f"{rate:.1%} [{interval.low:.1%}, {interval.high:.1%}] ({counts['success']}/{valid})"


def _watch(arguments: argparse.Namespace) -> int:
    with RunReader(arguments.run) as reader:
        if arguments.once:
            wide_console().print(_watch_table(reader)[0])
            return 0
        with Live(refresh_per_second=4) as live:
            while True:
                table, ended = _watch_table(reader)
                live.update(table)
                if ended:
                    return 0
                time.sleep(WATCH_SECONDS)


def _watch_table(reader: RunReader) -> tuple[Table, bool]:
    counts, state, identity = reader.outcome_counts(), reader.state(), reader.identity
    table = Table(title=f"{identity.protocol_id} / {identity.agent['name']} / seed {identity.seed}", box=None)
    for column in ("episodes", "success", "errors", "last ended", "state"):
        table.add_column(column, no_wrap=True)
    done = counts["success"] + counts["failure"] + counts["error"]
    attempts = reader.attempts()
    age = f"{time.time() - attempts['recorded_at'].max():.0f} s ago" if len(attempts) else "-"
    table.add_row(f"{done}/{counts['planned']}", _rate(counts), str(counts["error"]), age, state)
    return table, state not in ("not started", "running")
