"""Sets of plans: which episodes and states go into one, part by part, so that nothing is lost when it is broken off."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from harness.dataset import write_checksums
from harness.interfaces import derive_seed
from harness.plans import DATA, FORMAT_VERSION, INFO, SCHEMA, PlansError, Question, Split
from thinkbench.env import ThinkBenchEnv
from thinkbench.generator import GENERATOR_VERSION, Wording, generate
from thinkbench.jobs import parallel, watched
from thinkbench.plans.examples import CAMERA, questions
from thinkbench.specs import EpisodeRecord
from thinkbench.suite import load_suite
from thinkbench.templates import load_templates

_PART = 40
"""Episodes of a part: one of each template, some seconds of work."""


@dataclass(frozen=True)
class Making:
    """What a set is made of.

    Attributes:
        seed: Of the episodes, which no suite contains; ``None`` for those of ``suite``.
        episodes: How many, templates taking turns.
        states: Questions of each episode: its start, and later states.
        image: Side of the pictures in pixels.
        held_out: Share of episodes that are marked ``held_out``.
        unseen: Templates whose questions are marked ``unseen``.
        suite: A suite whose episodes become questions for evaluation; its name or file.
        wording: Of the instructions.
    """

    seed: int | None
    episodes: int
    states: int
    image: int
    held_out: float
    unseen: tuple[str, ...]
    suite: str | None
    wording: Wording


def make_plans(out: Path, making: Making, *, workers: int) -> Counter[str]:
    """Make a set, or go on with it; questions by split.

    Raises:
        PlansError: The folder holds something else.
        ValueError: ``workers`` is below 1.
    """
    _claim(out, making)
    jobs = [(out, making, part) for part in range(-(-making.episodes // _PART))]
    left = [job for job in jobs if not _path(out, job[2]).is_file()]
    for _ in watched(parallel(_make_part, left, workers), len(left), "plans (parts)"):
        pass
    files = [_path(out, part) for _, _, part in jobs]
    splits: Counter[str] = Counter(
        str(split) for path in files for split in pq.read_table(path, columns=["split"])["split"].to_pylist()
    )
    (out / "README.md").write_text(_card(making, splits))
    write_checksums(out, [*files, out / INFO, out / "README.md"])
    return splits


def _claim(out: Path, making: Making) -> None:
    """Make the folder, or recognise it."""
    info = {"format_version": FORMAT_VERSION, "generator_version": GENERATOR_VERSION, "making": asdict(making)}
    text = json.dumps(info, indent=1) + "\n"
    path = out / INFO
    if path.is_file():
        if path.read_text() != text:
            raise PlansError(f"{out} is a set of plans with other settings (see {path}); choose another folder")
        return
    if out.exists() and any(out.iterdir()):
        raise PlansError(f"{out} is not empty and no set of plans; choose another folder")
    (out / DATA).mkdir(parents=True)
    path.write_text(text)


def _path(out: Path, part: int) -> Path:
    return out / DATA / f"part-{part:05d}.parquet"


def _make_part(job: tuple[Path, Making, int]) -> int:
    """Write a part; returns its questions."""
    out, making, part = job
    found = [question for number in _numbers(making, part) for question in _of_episode(making, number)]
    partial = _path(out, part).with_suffix(".part")
    table = pa.Table.from_pylist([question.to_row() for question in found], SCHEMA)
    with partial.open("wb") as stream:
        pq.write_table(table, stream, compression="zstd", use_dictionary=["split", "template", "family"])
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(_path(out, part))
    return len(found)


def _numbers(making: Making, part: int) -> range:
    return range(part * _PART, min((part + 1) * _PART, making.episodes))


def _of_episode(making: Making, number: int) -> Iterator[Question]:
    record, split = _episode(making, number)
    rng = np.random.default_rng(derive_seed("thinkbench plans", making.seed or 0, number, "states"))
    later = rng.permutation(np.arange(1, record.horizon))[: making.states - 1]
    moves = [0, *sorted(int(count) for count in later)]
    return questions(_env(making.image), record, record.instructions[making.wording], moves, split)


def _episode(making: Making, number: int) -> tuple[EpisodeRecord, Split]:
    if making.suite is not None:
        return load_suite_once(making.suite)[number], "evaluation"
    templates = list(load_templates().values())
    template = templates[number % len(templates)]
    # Suites are numbered from 0, training episodes of `harness collect` from 2 ** 31; what a reset draws is 2 ** 32.
    suite = 2**33 + derive_seed("thinkbench plans", making.seed or 0) % 2**31
    record = EpisodeRecord.of(generate(template, number // len(templates), suite))
    if template.name in making.unseen:
        return record, "unseen"
    return record, "held_out" if _is_held_out(making, number, len(templates)) else "train"


def _is_held_out(making: Making, number: int, templates: int) -> bool:
    """Exactly the wanted share, spread over the set; which templates it falls on is drawn anew in every round."""
    turn, place = divmod(number, templates)
    rng = np.random.default_rng(derive_seed("thinkbench plans", making.seed or 0, turn, "split"))
    before = turn * templates + int(rng.permutation(templates)[place])
    return math.floor((before + 1) * making.held_out) > math.floor(before * making.held_out)


@functools.cache
def load_suite_once(name: str) -> Sequence[EpisodeRecord]:
    """The episodes of a suite."""
    return load_suite(name).records


@functools.cache
def _env(image: int) -> ThinkBenchEnv:
    return ThinkBenchEnv(cameras=(CAMERA,), observation_keys=(CAMERA,), image_size=image)


def _card(making: Making, splits: Counter[str]) -> str:
    source = (
        f"the episodes of the suite `{making.suite}`. They are for evaluation: nothing must be trained on them"
        if making.suite is not None
        else f"episodes that were drawn from seed {making.seed} and belong to no suite that is evaluated"
    )
    unseen = f" Templates of `unseen`: {', '.join(making.unseen)}." if making.unseen else ""
    digest = hashlib.sha256(json.dumps(asdict(making)).encode()).hexdigest()[:12]
    return f"""\
# Plans of ThinkBench in words

Pictures and instructions with the sub-goals that lead from one to the other, made by `harness plans` ({digest}) from
{source}.

- {making.episodes} episodes, templates taking turns; {making.states} states of each: its start, and states after some
  moves of the expert, which are carried out without physics and then settle in the simulator.
- Pictures are those of the static camera, {making.image} x {making.image} pixels. Wording: {making.wording}.
- Sub-goals are the moves of a shortest plan. There may be others as short: judge answers by `harness check-plans`.

| split | questions |
|---|---|
{chr(10).join(f"| {split} | {count} |" for split, count in sorted(splits.items()))}
{unseen}

Columns are described in `harness/plans.py`. `sha256sum -c SHA256SUMS` checks the files.
"""
