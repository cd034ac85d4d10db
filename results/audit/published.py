"""The audit of published tables: every table, every claim, and every two sources about one system."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from results.audit.claims import audit_claims
from results.audit.findings import Finding
from results.audit.sources import audit_sources
from results.audit.tables import audit_table
from results.published import PublishedSource, load_source, published_sources

_ORDER = ("inconsistent", "conflict", "note")


def audit_published() -> list[Finding]:
    """All sources of `results.published`, the gravest findings first."""
    sources = published_sources()
    return _audit(sources, sources)


def audit_file(path: Path) -> list[Finding]:
    """One file with tables, by itself and against the sources of the project."""
    source = load_source(path)
    return _audit([source], [source, *(known for known in published_sources() if known != source)])


def _audit(audited: Sequence[PublishedSource], known: Sequence[PublishedSource]) -> list[Finding]:
    names = {table.source for source in audited for table in source.tables}
    findings = [finding for source in audited for table in source.tables for finding in audit_table(table)]
    findings += [finding for source in audited for finding in audit_claims(source)]
    findings += [finding for finding in audit_sources(known) if finding.source in names]
    return sorted(findings, key=lambda finding: _ORDER.index(finding.level))
