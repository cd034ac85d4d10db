"""Findings as text and JSON; the leaderboard has a page of its own for them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from results.audit.findings import Finding

MEANINGS = {
    "inconsistent": "what is printed cannot all be true",
    "conflict": "disagrees with another source",
    "note": "can be true, but readers should know",
}


def as_text(findings: Sequence[Finding]) -> str:
    """For people: grouped by level and source, with the quote that a finding is about."""
    lines: list[str] = []
    for level, meaning in MEANINGS.items():
        own = [finding for finding in findings if finding.level == level]
        if own:
            lines += [f"{level.upper()}: {meaning}", ""]
        for source in dict.fromkeys(finding.source for finding in own):
            lines.append(f"  {source}")
            for finding in (finding for finding in own if finding.source == source):
                lines += [f'    "{finding.quote}"'] if finding.quote else []
                lines.append(f"    - [{finding.check}] {finding.text}")
            lines.append("")
    return "\n".join([*lines, _count(findings)]) + "\n"


def as_json(findings: Sequence[Finding]) -> str:
    """For programs."""
    return json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False) + "\n"


def _count(findings: Sequence[Finding]) -> str:
    counts = Counter(str(finding.level) for finding in findings)
    return ", ".join(f"{counts[level]} {level}" for level in MEANINGS if counts[level]) or "nothing was found"
