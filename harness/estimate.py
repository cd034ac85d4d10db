"""How long a run will take and how much disk it will fill, from runs of the same thing that were measured here."""

from __future__ import annotations

from pathlib import Path

from harness.identity import RunIdentity
from harness.runs import RUNS_FOLDER
from harness.store import STORE_NAME, RunReader, StoreError


def estimate(identity: RunIdentity, episodes: int, workers: int, videos: bool, runs: Path = RUNS_FOLDER) -> str:
    """A sentence with time and disk, or what to do to get one.

    The mean of the newest earlier run with the same benchmark, protocol name and agent is scaled to ``episodes``;
    workers are taken to share the work evenly.
    """
    stores = sorted(runs.rglob(STORE_NAME), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in stores:
        try:
            with RunReader(path.parent) as reader:
                other = reader.identity
                if reader.is_collection or (other.benchmark, other.protocol["name"], other.agent["name"]) != (
                    identity.benchmark,
                    identity.protocol["name"],
                    identity.agent["name"],
                ):
                    continue
                attempts = reader.attempts()
                lanes = reader.meta("config")["executor"]["lanes"]  # each waits for the others while they step
        except StoreError:
            continue  # a run of an older harness says nothing about this one
        if not len(attempts):
            continue
        seconds = attempts["wall_total"].mean() / lanes * episodes / workers
        folder = [path] + (list((path.parent / "videos").glob("*.mp4")) if videos else [])
        mebibytes = sum(file.stat().st_size for file in folder) / len(attempts) * episodes / 2**20
        return (
            f"about {_duration(seconds)} and {mebibytes:.1f} MiB, from {len(attempts)} episodes of {path.parent}"
            f"{'' if videos else ', without videos'}"
        )
    return "none yet: no earlier run of this benchmark and agent here; a first run with limit=4 gives one"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
