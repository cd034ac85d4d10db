"""Work on many episodes is not lost when it is broken off."""

from pathlib import Path

import pytest

from thinkbench.jobs import KeptJob, kept

JOBS: list[KeptJob] = [("a", 1), ("b", 2), ("c", 3)]


def doubled(job: KeptJob) -> int:
    return 2 * int(job[1])


class Interrupted:
    """Does ``count`` jobs and is then broken off."""

    def __init__(self, count: int) -> None:
        self.left = count

    def __call__(self, job: KeptJob) -> int:
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        return doubled(job)


def test_work_goes_on_where_it_was_broken_off(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "begun"
    with pytest.raises(KeyboardInterrupt):
        kept(path, "mine", JOBS, Interrupted(2), workers=1, title="work")
    only_the_last = Interrupted(1)
    assert kept(path, "mine", JOBS, only_the_last, workers=1, title="work") == {("a", 1): 2, ("b", 2): 4, ("c", 3): 6}
    assert f"{path}: 2 of 3 are done already" in capsys.readouterr().err
    assert kept(path, "mine", JOBS, Interrupted(0), workers=1, title="work") == {job: doubled(job) for job in JOBS}


def test_a_line_that_was_cut_off_is_done_again(tmp_path: Path) -> None:
    path = tmp_path / "begun"
    kept(path, "mine", JOBS, doubled, workers=1, title="work")
    whole = path.read_text()
    path.write_text(whole[:-3])
    assert kept(path, "mine", JOBS, Interrupted(1), workers=1, title="work") == {job: doubled(job) for job in JOBS}
    assert path.read_text() == whole


def test_results_of_something_else_are_not_mixed_in(tmp_path: Path) -> None:
    path = tmp_path / "begun"
    kept(path, "mine", JOBS, doubled, workers=1, title="work")
    with pytest.raises(ValueError, match="begun for mine, not for yours: finish that, or delete it"):
        kept(path, "yours", JOBS, doubled, workers=1, title="work")


def test_processes_are_as_good_as_one(tmp_path: Path) -> None:
    found = kept(tmp_path / "begun", "mine", JOBS, doubled, workers=2, title="work")
    assert list(found.items()) == [(job, doubled(job)) for job in JOBS]
