"""Runs of one agent under shifts of one protocol: which belong together, from the protocols' own fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.identity import content_hash
from results.runs import LoadedRun, run_labels

SHIFT, LEVEL, UNSHIFTED = "shift", "shift_level", "none"


@dataclass(frozen=True)
class Shifted:
    """Runs whose protocols are the same but for the shift.

    Attributes:
        title: Name of the unshifted protocol, or of the first one.
        shifts: Names of the shifts with their levels, ``UNSHIFTED`` first.
        agents: Runs by shift, by name of the agent, which says nothing of the protocol.
        left_out: Runs in whose place another one of the same agent under the same shift stands.
    """

    title: str
    shifts: tuple[str, ...]
    agents: Mapping[str, Mapping[str, LoadedRun]]
    left_out: tuple[LoadedRun, ...] = ()


def shift_of(run: LoadedRun) -> str | None:
    """For example ``camera 2``; ``none`` without a shift, and ``None`` where the protocol knows none."""
    protocol = run.identity.protocol
    if SHIFT not in protocol:
        return None
    shift, level = str(protocol[SHIFT]), protocol.get(LEVEL)
    return shift if shift == UNSHIFTED or level is None else f"{shift} {level}"


def shift_groups(runs: Sequence[LoadedRun]) -> list[Shifted]:
    """Groups of runs that share everything but the shift, with at least one run under a shift.

    Two runs belong to one agent if its parameters, its checkpoints and, unless seeds are pooled, the seed are the same.
    The name of the protocol is not compared, its other fields are; so are planned episodes, which are paired by their
    ids.
    """
    groups: dict[str, list[tuple[str, LoadedRun]]] = {}
    for run in runs:
        shift = shift_of(run)
        if shift is not None:
            fields = {k: v for k, v in run.identity.protocol.items() if k not in (SHIFT, LEVEL, "name")}
            groups.setdefault(content_hash([run.identity.benchmark, fields]), []).append((shift, run))
    return [_group(members) for members in groups.values() if any(shift != UNSHIFTED for shift, _ in members)]


def _group(members: Sequence[tuple[str, LoadedRun]]) -> Shifted:
    agents: dict[str, dict[str, LoadedRun]] = {}
    left_out = []
    for shift, run in sorted(members, key=lambda member: -member[1].summary.planned):  # a quick look comes last
        seed = None if run.summary.seeds else run.identity.seed
        who = content_hash([dict(run.identity.agent), dict(run.identity.checkpoints), seed])
        if agents.setdefault(who, {}).setdefault(shift, run) is not run:
            left_out.append(run)
    shown = [by_shift.get(UNSHIFTED) or next(iter(by_shift.values())) for by_shift in agents.values()]
    names = run_labels([run.summary for run in shown])
    shifts = sorted({shift for shift, _ in members} - {UNSHIFTED})
    title = next((run.summary.protocol for shift, run in members if shift == UNSHIFTED), members[0][1].summary.protocol)
    return Shifted(title, (UNSHIFTED, *shifts), dict(zip(names, agents.values(), strict=True)), tuple(left_out))
