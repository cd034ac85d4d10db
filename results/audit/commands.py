"""``harness audit``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from harness.instantiate import ConfigError
from harness.store import RunReader
from results.audit.findings import Finding
from results.audit.published import audit_file, audit_published
from results.audit.render import as_json, as_text
from results.audit.runs import audit_run
from results.entry import open_entry


def add_audit(verbs: Any) -> None:
    """Add the verb; named by the entry point ``thinkjepa_harness.commands``."""
    parser = verbs.add_parser(
        "audit",
        help="compute again what tables claim: sums, averages, differences, possible percentages",
        description="Compute again what tables claim: sums, averages, differences, whether a percentage is possible "
        "for the stated number of episodes, claims of the text, and agreement between sources. What is printed stands "
        "for everything that rounds to it.",
        epilog="Exit status: 0 nothing inconsistent, 1 something is.\n\n"
        "Examples:\n"
        "  harness audit --published                 the published tables that come with the harness\n"
        "  harness audit my_table.yaml               yours (results/published/__init__.py says how it looks)\n"
        "  harness audit runs/* entry.zip            your own runs\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("subjects", nargs="*", type=Path, metavar="TABLE.yaml|RUN|ENTRY", help="what to audit")
    parser.add_argument("--published", action="store_true", help="audit the published tables that come along")
    parser.add_argument("--config-dir", type=Path, metavar="DIR", help="benchmarks and protocols of entries")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.set_defaults(execute=_audit)


def _audit(arguments: argparse.Namespace) -> int:
    if not arguments.subjects and not arguments.published:
        raise ConfigError("nothing to audit; name a table file, a run or an entry, or give --published")
    findings = audit_published() if arguments.published else []
    for subject in arguments.subjects:
        findings += audit_subject(subject, arguments.config_dir)
    print(as_json(findings) if arguments.format == "json" else as_text(findings), end="")
    return 1 if any(finding.level == "inconsistent" for finding in findings) else 0


def audit_subject(path: Path, config_dir: Path | None = None) -> list[Finding]:
    """The findings of a table file, a run's folder or an entry."""
    if path.suffix in (".yaml", ".yml"):
        return audit_file(path)
    with open_entry(path, config_dir) if path.is_file() else RunReader(path) as reader:
        return audit_run(reader)
