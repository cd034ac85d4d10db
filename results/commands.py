"""Verbs of the command line that read runs: ``report``, ``compare`` and ``power``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.options import verb
from harness.instantiate import ConfigError
from results.compare import compare, comparison_json, comparison_markdown
from results.html_report import html
from results.latex import latex
from results.power import LARGEST_SAMPLE, Design, power_lines
from results.render import as_csv, as_json, markdown
from results.report import Report, build_report

if TYPE_CHECKING:
    from results.plots import Plot

REPORT_FORMATS = ("csv", "html", "json", "latex", "md")
COMPARE_FORMATS = {"json": comparison_json, "md": comparison_markdown}
PLOT_KINDS = ("pdf", "svg")


def add_report(verbs: Any) -> None:
    """Add ``harness report``; named by the entry point ``thinkjepa_harness.commands``."""
    parser = verb(
        verbs,
        "report",
        _report,
        "tables of one or more runs, with intervals, on standard output",
        "Examples:\n"
        "  harness report runs/20260101-120000-thinkbench-expert-s0\n"
        "  harness report runs/* --format html --plots plots > report.html\n"
        "  harness report runs/no-replan runs/no-gpi --baseline runs/full --format latex > ablation.tex\n"
        "  harness report runs/* --pool-seeds\n",
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run directories or entries (.zip)")
    parser.add_argument("--format", choices=REPORT_FORMATS, default="md")
    parser.add_argument("--baseline", type=Path, metavar="RUN", help="the full agent: adds the ablation table")
    parser.add_argument(
        "--pool-seeds", action="store_true", help="runs that differ in nothing but the seed share a row"
    )
    _add_common(parser)


def add_compare(verbs: Any) -> None:
    """Add ``harness compare``."""
    parser = verb(
        verbs,
        "compare",
        _compare,
        "test two runs of the same episodes against each other, paired by episode",
        "Refuses, with every reason, runs whose protocols differ.\n\n"
        "Examples:\n  harness compare runs/mine runs/theirs\n"
        "  harness compare runs/mine-s0 runs/mine-s1 runs/theirs-s0 runs/theirs-s1 --pool-seeds\n",
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="two run directories or entries (.zip)")
    parser.add_argument(
        "--pool-seeds", action="store_true", help="all runs of two agents: those that differ in the seed only are one"
    )
    parser.add_argument("--format", choices=sorted(COMPARE_FORMATS), default="md")
    _add_common(parser)


def add_power(verbs: Any) -> None:
    """Add ``harness power``."""
    parser = verb(
        verbs,
        "power",
        _power,
        "the minimum detectable effect for a number of episodes, or the number of episodes for an effect",
        "Examples:\n"
        "  harness power --episodes 200 --baseline 0.5\n"
        "  harness power --effect 0.05 --baseline 0.7 --discordant 0.2\n",
    )
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("--episodes", type=int, metavar="N", help="episodes per agent")
    asked.add_argument("--effect", type=float, metavar="D", help="difference of success rates, for example 0.05")
    parser.add_argument("--baseline", type=float, default=0.5, help="success rate of the weaker agent (default: 0.5)")
    parser.add_argument("--power", type=float, default=0.8, help="chance of finding the effect (default: 0.8)")
    parser.add_argument("--level", type=float, default=0.05, help="two-sided significance level (default: 0.05)")
    parser.add_argument(
        "--discordant",
        type=float,
        help="share of episodes that exactly one agent solves, for the paired test (default: independent outcomes)",
    )


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config-dir", type=Path, metavar="DIR", help="your own benchmarks, for entries that name them"
    )
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write the plots to this folder as well")
    parser.add_argument("--plot-format", choices=PLOT_KINDS, default="svg", help="of --plots (default: svg)")


def _report(arguments: argparse.Namespace) -> int:
    report = build_report(arguments.runs, arguments.baseline, arguments.config_dir, seeds_pooled=arguments.pool_seeds)
    plots: list[Plot] = []
    if arguments.plots is not None or arguments.format == "html":
        from results.plots import report_plots  # matplotlib, which no other verb should wait for

        plots = report_plots(report)
    _save(plots, arguments)
    print(_rendered(report, arguments.format, plots), end="")
    return 0


def _rendered(report: Report, name: str, plots: Sequence[Plot]) -> str:
    if name == "html":
        return html(report, [(plot.title, plot.svg()) for plot in plots])
    return {"csv": as_csv, "json": as_json, "latex": latex, "md": markdown}[name](report)


def _compare(arguments: argparse.Namespace) -> int:
    comparison = compare(*arguments.runs, config_dir=arguments.config_dir, seeds_pooled=arguments.pool_seeds)
    if arguments.plots is not None:
        from results.plots import comparison_plot  # matplotlib

        _save([comparison_plot(comparison)], arguments)
    print(COMPARE_FORMATS[arguments.format](comparison), end="")
    return 0


def _save(plots: Sequence[Plot], arguments: argparse.Namespace) -> None:
    if arguments.plots is None:
        return
    arguments.plots.mkdir(parents=True, exist_ok=True)
    for plot in plots:
        plot.save(arguments.plots, arguments.plot_format)


def _power(arguments: argparse.Namespace) -> int:
    if arguments.episodes is not None and not 2 <= arguments.episodes <= LARGEST_SAMPLE:
        raise ConfigError(f"--episodes {arguments.episodes}: must be at least 2 and at most {LARGEST_SAMPLE}")
    try:
        design = Design(arguments.baseline, arguments.level, arguments.power, arguments.discordant)
        lines = power_lines(design, episodes=arguments.episodes, effect=arguments.effect)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    print("\n".join(lines))
    return 0
