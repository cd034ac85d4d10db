"""The frozen evaluation episodes, a file that ships with the package, and specs of fresh ones.

``python -m thinkbench.subgoals.suite [--workers N]`` draws the frozen file anew; the same code gives the same bytes.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from envs.tabletop.env import TabletopEnv
from envs.tabletop.world import WORLD_VERSION
from harness.interfaces import EpisodeSpec
from thinkbench.jobs import parallel, watched
from thinkbench.subgoals.draw import DRAW_VERSION, Drawn, Split, Wording, draw_episode, episode_spec
from thinkbench.subgoals.goals import KINDS

FROZEN_SEED = 0
FROZEN_PER_KIND = 24
FROZEN_FILE = "subgoals-v1.jsonl.gz"


@dataclass(frozen=True)
class FrozenEpisodes:
    """The evaluation episodes.

    Attributes:
        drawn: By kind and number.
        hash: SHA-256 over all of them (hex).
    """

    drawn: Mapping[tuple[str, int], Drawn]
    hash: str

    def spec(self, kind: str, index: int, max_steps: int, wording: Wording) -> EpisodeSpec:
        """One of them as the harness runs it."""
        return episode_spec(self.drawn[kind, index], "evaluation", index, max_steps=max_steps, wording=wording)


@cache
def load_frozen() -> FrozenEpisodes:
    """The frozen evaluation episodes.

    Raises:
        ValueError: The file is damaged.
    """
    lines = gzip.decompress(_path().read_bytes()).decode().splitlines()
    header, *entries = [json.loads(line) for line in lines]
    if _digest(lines[1:]) != header["hash"]:
        raise ValueError(f"{_path()} is damaged: its episodes are not what its hash says")
    drawn = {(entry["kind"], entry["index"]): Drawn.from_dict(entry["episode"]) for entry in entries}
    return FrozenEpisodes(drawn, header["hash"])


def draw_specs(
    split: Split, seed: int, kinds: Sequence[str], per_kind: int, *, max_steps: int, wording: Wording
) -> list[EpisodeSpec]:
    """Fresh episodes, ``per_kind`` of each kind, kinds taking turns; about 0.6 s each."""
    env = TabletopEnv(observation_keys=())
    try:
        return [
            episode_spec(
                draw_episode(env, split, seed, kind, index),
                split,
                index,
                max_steps=max_steps,
                wording=wording,
                seed=seed,
            )
            for index in range(per_kind)
            for kind in kinds
        ]
    finally:
        env.close()


def main() -> None:
    """Draw the frozen episodes and write their file."""
    parser = argparse.ArgumentParser(description="Draw the frozen evaluation episodes of benchmark=subgoals anew.")
    parser.add_argument("--workers", type=int, default=1, help="processes (default: 1)")
    jobs = [(kind, index) for index in range(FROZEN_PER_KIND) for kind in KINDS]
    results = parallel(frozen_entry, jobs, parser.parse_args().workers)
    entries = dict(watched(results, len(jobs), "drawing"))
    lines = [entries[job] for job in jobs]
    header = {
        "suite": FROZEN_FILE.partition(".")[0],
        "hash": _digest(lines),
        "episodes": len(lines),
        "made_with": {
            "draw": DRAW_VERSION,
            "seed": FROZEN_SEED,
            "world": WORLD_VERSION,
            "pybullet": version("pybullet"),
        },
    }
    text = "".join(f"{line}\n" for line in (_canonical(header), *lines))
    _path().write_bytes(gzip.compress(text.encode(), mtime=0))
    sys.stderr.write(f"{_path()}: {len(lines)} episodes, hash {header['hash']}\n")


def frozen_entry(job: tuple[str, int]) -> str:
    """Draw one of the frozen episodes; its line of the file."""
    kind, index = job
    drawn = draw_episode(_process_env(), "evaluation", FROZEN_SEED, kind, index)
    return _canonical({"kind": kind, "index": index, "episode": drawn.to_dict()})


@cache
def _process_env() -> TabletopEnv:
    return TabletopEnv(observation_keys=())


def _path() -> Path:
    return Path(str(files("thinkbench.suites"))) / FROZEN_FILE


def _digest(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _canonical(data: Any) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"))


if __name__ == "__main__":
    main()
