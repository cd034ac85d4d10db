"""The verbs certify, generate and show, as a user calls them."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from harness.cli import main
from thinkbench import suite as suites
from thinkbench.certificates import surroundings
from thinkbench.names import FROZEN
from thinkbench.suite import Suite, entry_of, load_suite, write_suite


@pytest.fixture(scope="module")
def small() -> Suite:
    """The first two episodes of horizon 3 of the frozen suite."""
    frozen = load_suite(FROZEN)
    return replace(frozen, name="small", records=tuple(r for r in frozen.records if r.horizon == 3)[:2])


def test_generate_and_certify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "fresh.jsonl.gz"
    settings = ["seed=7", "episodes=2", "families=tower,sort", "horizons=3", f"output={path}"]
    assert main(["generate", "thinkbench", *settings]) == 0
    suite = load_suite(str(path))
    assert f"{suite.label}, 2 certified episodes" in capsys.readouterr().out
    assert [record.episode_id for record in suite.records] == ["sort-h3-000", "tower-h3-000"]
    assert main(["certify", str(path), "--sample", "1", "--seed", "3"]) == 0
    captured = capsys.readouterr()
    assert f"{suite.label}: 1 of 2 episodes" in captured.out
    assert "1 of 1 certificates are the same" in captured.out
    assert "certify: 1/1" in captured.err


def test_certify_says_what_differs_and_exits_with_one(
    small: Suite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = small.records[0].episode_id
    wrong = replace(small.certificates[first], digest="0")
    path = tmp_path / "wrong.jsonl.gz"
    changed = replace(small, records=small.records[:1], certificates={first: wrong}, made_with={})
    write_suite(changed, path)
    assert main(["certify", str(path)]) == 1
    output = capsys.readouterr().out
    assert f"{first}: digest: recorded 0, now " in output
    assert "note: certificates were made with something else" in output
    assert "0 of 1 certificates are the same" in output
    assert main(["certify", str(path), "--renew"]) == 0
    assert "1 of 1 certificates are other ones" in capsys.readouterr().out
    renewed = load_suite(str(path))
    assert renewed.records == changed.records
    assert renewed.certificates[first] == small.certificates[first]
    assert renewed.made_with == surroundings()


def test_certificates_are_renewed_all_or_none(small: Suite, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = small.records[0]
    path = tmp_path / "impossible.jsonl.gz"
    false = replace(record, meta={**record.meta, "horizon": 4})
    write_suite(replace(small, records=(small.records[1], false)), path)
    before = path.read_bytes()
    assert main(["certify", str(path), "--renew"]) == 1
    output = capsys.readouterr().out
    assert f"{record.episode_id}: the recorded plan has 3 moves instead of 4" in output
    assert f"1 of 2 episodes cannot be certified; {path} stays as it was" in output
    assert path.read_bytes() == before


def test_freeze_is_one_command(small: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All templates, the frozen seed, into the package; here with a stand-in for the work."""
    frozen = load_suite(FROZEN)
    records = {record.episode_id: record for record in frozen.records}
    asked = []

    def ready(job: tuple[str, int, int]) -> object:
        asked.append(job)
        record = records[f"{job[0]}-{job[1]:03d}"]
        return entry_of(record, frozen.certificates[record.episode_id])

    monkeypatch.setattr("thinkbench.verbs._certified", ready)
    monkeypatch.setattr("thinkbench.verbs.shipped_path", lambda name: tmp_path / f"{name}.jsonl.gz")
    assert main(["generate", "thinkbench", "--freeze"]) == 0
    assert {seed for _, _, seed in asked} == {suites.FROZEN_SEED}
    made = load_suite(str(tmp_path / f"{FROZEN}.jsonl.gz"))
    assert (made.name, made.hash, made.records) == (FROZEN, frozen.hash, frozen.records)


def test_show_draws_a_strip_and_a_gallery(small: Suite, tmp_path: Path) -> None:
    path = tmp_path / "small.jsonl.gz"
    write_suite(small, path)
    episode = small.records[0].episode_id
    assert main(["show", "thinkbench", episode, "--suite", str(path), "-o", str(tmp_path / "strip.png")]) == 0
    with Image.open(tmp_path / "strip.png") as picture:
        assert picture.width > picture.height > 300
    assert main(["show", "thinkbench", "--suite", str(path), "--gallery", str(tmp_path / "gallery")]) == 0
    page = (tmp_path / "gallery" / "index.html").read_text("utf-8")
    assert small.hash in page
    assert page.count("<article") == 2
    assert page.count("data:image/jpeg;base64,") == 2 * (3 + 1)
    assert page.count("(goal)</figcaption>") == 2
    assert "http" not in page


def test_show_prints_the_pddl_that_was_certified(small: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    episode = small.records[0].episode_id
    assert main(["show", "thinkbench", episode, "--pddl"]) == 0
    text = capsys.readouterr().out
    assert hashlib.sha256(text.encode()).hexdigest() == small.certificates[episode].pddl


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["certify", "nowhere"], "there is no such suite and no such file"),
        (["certify", FROZEN, "--sample", "0"], "choose between 1 and"),
        (["certify", FROZEN, "--sample", "2", "--renew"], "--renew needs all episodes; leave --sample away"),
        (["generate", "thinkbench"], "seed is missing; add for example seed=7"),
        (["generate", "thinkbench", "seed=1"], "output is missing"),
        (["generate", "thinkbench", "seed=0", "output=x.jsonl.gz"], "gives the episodes of thinkbench-v1 itself"),
        (["generate", "thinkbench", "seed=one", "output=x.jsonl.gz"], "seed=one: must be a whole number of at least 0"),
        (["generate", "thinkbench", "seed=1", "output=x.json"], "must end in .jsonl.gz"),
        (["generate", "thinkbench", "seed=1", "output=x.jsonl.gz", "episodes=0"], "at least 1"),
        (["generate", "thinkbench", "seed=1", "output=x.jsonl.gz", "families=juggle"], "there is no 'juggle'"),
        (["generate", "thinkbench", "seed=1", "output=x.jsonl.gz", "horizons=4"], "there is no '4'; choose from 3,5,7"),
        (["generate", "thinkbench", "speed=1"], "with one of the keys seed, output"),
        (["generate", "thinkbench", "seed=1", "--freeze"], "takes no settings"),
        (["show", "thinkbench"], "name one EPISODE, or a folder"),
        (["show", "thinkbench", "tower-h4-000"], "has no episode 'tower-h4-000'"),
    ],
)
def test_bad_arguments_are_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_without_the_planner_the_remedy_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert main(["certify", FROZEN]) == 2
    assert "pip install 'thinkjepa-harness[certify]'" in capsys.readouterr().err
