"""The audit as a page shows it: findings by level and by what they are about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from results.audit.findings import Finding
from results.audit.render import MEANINGS


@dataclass(frozen=True)
class AuditLevel:
    """Findings of one level: ``(source, its findings)`` in the order in which they were found."""

    name: str
    meaning: str
    sources: tuple[tuple[str, tuple[Finding, ...]], ...]

    @property
    def count(self) -> int:
        """Findings of all sources."""
        return sum(len(findings) for _, findings in self.sources)


def audit_levels(findings: Sequence[Finding]) -> list[AuditLevel]:
    """The levels that have findings, the gravest first."""
    levels = []
    for name, meaning in MEANINGS.items():
        own = [finding for finding in findings if finding.level == name]
        sources = {
            source: tuple(one for one in own if one.source == source) for source in dict.fromkeys(f.source for f in own)
        }
        if own:
            levels.append(AuditLevel(name, meaning, tuple(sources.items())))
    return levels
