"""Runs that differ in nothing but the seed, as one run whose episodes repeat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pandas as pd

from harness.identity import content_hash
from harness.store import StoreError
from results.runs import LoadedRun, run_labels


def pool_seeds(runs: Sequence[LoadedRun]) -> list[LoadedRun]:
    """One run for each agent under each protocol, at the place of its first.

    The seeds of an agent become repetitions of its episodes, numbered alike for all ``runs``. So rates have the
    intervals of the distinct episodes, and agents are paired by episode and seed. The column ``run`` of their frame
    names the run of each row. What a pooled run says of its compute
    is that of its first.

    Raises:
        StoreError: Two runs of an agent have the same seed, so one of them would count twice.
    """
    groups: dict[str, list[LoadedRun]] = {}
    for run in runs:
        groups.setdefault(_all_but_the_seed(run), []).append(run)
    seeds = sorted({run.summary.seed for run in runs})
    apart = max((run.identity.repeats for run in runs), default=1)
    pooled = [_pool(sorted(group, key=lambda run: run.summary.seed), seeds, apart) for group in groups.values()]
    labels = run_labels([run.summary for run in pooled])
    return [replace(run, summary=replace(run.summary, label=label)) for run, label in zip(pooled, labels, strict=True)]


def _all_but_the_seed(run: LoadedRun) -> str:
    identity, summary = run.identity, run.summary
    return content_hash(
        [
            identity.benchmark,
            summary.protocol_hash,
            summary.episode_set,
            dict(identity.fingerprint),
            dict(identity.agent),
            dict(identity.checkpoints),
            identity.repeats,
            list(summary.deviations),
        ]
    )


def _pool(runs: Sequence[LoadedRun], seeds: Sequence[int], apart: int) -> LoadedRun:
    """Runs of one agent, by ascending seed; ``seeds`` are those of all agents, ``apart`` the most that any repeats."""
    for one, other in pairwise(runs):
        if one.summary.seed == other.summary.seed:
            raise StoreError(
                f"{one.summary.run} and {other.summary.run} are of the same agent and seed; "
                "pooled, its episodes would count twice. Leave one of them out"
            )
    first, summaries = runs[0], [run.summary for run in runs]
    frames = [
        run.frame.assign(repeat=run.frame["repeat"] + seeds.index(run.summary.seed) * apart, run=run.summary.run)
        for run in runs
    ]
    frame = pd.concat(frames, ignore_index=True)
    summary = replace(
        first.summary,
        seeds=tuple(one.seed for one in summaries),
        **{
            name: sum(getattr(one, name) for one in summaries)
            for name in ("planned", "valid", "successes", "errors", "missing", "retried")
        },
    )
    tables = tuple(first.benchmark.summarise(frame))
    return replace(first, summary=summary, frame=frame, tables=tables, parts=tuple(runs))


def seeds_differ(runs: Sequence[LoadedRun]) -> tuple[str, ...]:
    """The footnote of a table that pairs agents of different seeds; none where there are no such."""
    if len({run.summary.seeds for run in runs}) < 2:
        return ()
    return ("Agents of different seeds are compared over the seeds that both have.",)
