"""Suite files, and the frozen suite that ships with the package."""

import gzip
import json
from collections import Counter
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from thinkbench.generator import generate
from thinkbench.specs import EpisodeRecord
from thinkbench.suite import (
    FROZEN,
    FROZEN_PER_TEMPLATE,
    FROZEN_SEED,
    Suite,
    draw_suite,
    load_suite,
    write_suite,
)
from thinkbench.templates import load_templates

TEMPLATES = load_templates()


@pytest.fixture(scope="module")
def frozen() -> Suite:
    return load_suite(FROZEN)


@pytest.fixture
def small(frozen: Suite) -> Suite:
    return replace(frozen, name="small", records=frozen.records[:3])


def test_the_frozen_suite_is_complete_and_certified(frozen: Suite) -> None:
    templates = [record.meta["template"] for record in frozen.records]
    assert Counter(templates) == dict.fromkeys(TEMPLATES, FROZEN_PER_TEMPLATE)
    assert templates == templates[: len(TEMPLATES)] * FROZEN_PER_TEMPLATE
    assert set(frozen.certificates) == {record.episode_id for record in frozen.records}
    for record in frozen.records:
        template, certificate = TEMPLATES[record.meta["template"]], frozen.certificates[record.episode_id]
        assert (record.meta["family"], record.horizon) == (template.family, template.horizon)
        assert certificate.status == "SOLVED_OPTIMALLY"
        assert len(certificate.plan) == len(certificate.actions) == len(record.meta["plan"]) == record.horizon
        assert certificate.insight.claim == record.meta["insight"] == template.insight
        assert set(record.instructions) == {"standard", "held_out", "verbose"}


def test_the_frozen_suite_was_drawn_from_today_s_templates(frozen: Suite) -> None:
    """A rotating sample; where a template changes after the freeze, the suite has to be frozen anew and renamed."""
    records = {record.episode_id: record for record in frozen.records}
    names = list(TEMPLATES)
    for name in (names[(date.today().toordinal() + i * 7) % len(names)] for i in range(5)):
        index = date.today().toordinal() % FROZEN_PER_TEMPLATE
        recorded = records[f"{name}-{index:03d}"]
        attempt = 0
        while (
            drawn := EpisodeRecord.of(episode := generate(TEMPLATES[name], index, FROZEN_SEED, attempt))
        ) != recorded:
            attempt = episode.attempt + 1
            assert attempt < 50, f"no draw of {recorded.episode_id} is the recorded one"
        assert drawn == recorded


def test_a_file_holds_everything_and_is_the_same_bytes(small: Suite, tmp_path: Path) -> None:
    kept = {record.episode_id: small.certificates[record.episode_id] for record in small.records}
    write_suite(small, tmp_path / "one.jsonl.gz")
    write_suite(small, tmp_path / "two.jsonl.gz")
    loaded = load_suite(str(tmp_path / "one.jsonl.gz"))
    assert loaded == replace(small, certificates=kept)
    assert (tmp_path / "one.jsonl.gz").read_bytes() == (tmp_path / "two.jsonl.gz").read_bytes()


def test_the_hash_is_about_the_episodes_only(small: Suite) -> None:
    assert replace(small, records=small.records[::-1], certificates={}, name="other").hash == small.hash
    assert replace(small, records=small.records[:2]).hash != small.hash
    reworded = replace(small.records[0], instructions={**small.records[0].instructions, "held_out": "Do it."})
    assert replace(small, records=(reworded, *small.records[1:])).hash != small.hash
    assert small.label == f"small {small.hash[:8]}"


def test_drawn_suites_depend_on_the_seed_and_have_no_certificates() -> None:
    templates = [TEMPLATES["tower-h3"], TEMPLATES["sort-h3"]]
    suite = draw_suite(templates, 2, 5)
    assert [record.episode_id for record in suite.records] == [
        "tower-h3-000",
        "sort-h3-000",
        "tower-h3-001",
        "sort-h3-001",
    ]
    assert not suite.certificates
    assert suite.hash == draw_suite(templates, 2, 5).hash != draw_suite(templates, 2, 6).hash


def rewritten(path: Path, line: int, change: dict[str, Any]) -> None:
    lines = [json.loads(text) for text in gzip.decompress(path.read_bytes()).decode().splitlines()]
    lines[line] |= change
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))


def test_damage_is_noticed(small: Suite, tmp_path: Path) -> None:
    path = tmp_path / "suite.jsonl.gz"
    for line, change, message in (
        (1, {"seed": 1}, f"episode {small.records[0].episode_id} is not what its hash says"),
        (0, {"hash": "0"}, "its episodes are not what its hash says"),
        (0, {"format": 9}, "format 9"),
        (2, {"certificate": {}}, "damaged"),
    ):
        write_suite(small, path)
        rewritten(path, line, change)
        with pytest.raises(ValueError, match=message):
            load_suite(str(path))
    path.write_bytes(b"no gzip")
    with pytest.raises(ValueError, match="no suite of this harness"):
        load_suite(str(path))


def test_unknown_suites_are_refused() -> None:
    with pytest.raises(FileNotFoundError, match=r"protocol\.suite=thinkbench-v9: .* choose thinkbench-v1, generated"):
        load_suite("thinkbench-v9")
