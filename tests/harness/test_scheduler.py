from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.interfaces import EpisodeSpec, Stage
from harness.records import EpisodeError, EpisodeResult, Job, Outcome, Phase
from harness.scheduler import RetryPolicy, Scheduler, TooManyErrorsError


def job(key: str) -> Job:
    return Job(key, EpisodeSpec("toy", key, 0, (Stage("go", "t", 1),)))


def result(taken: Job, outcome: Outcome, worker: str = "w0") -> EpisodeResult:
    error = EpisodeError(Phase.STEP, "broken") if outcome is Outcome.ERROR else None
    return EpisodeResult(taken.key, taken.attempt, outcome, error=error, worker=worker)


def test_an_error_is_retried_on_another_worker_up_to_the_limit() -> None:
    recorded: list[tuple[int, bool]] = []
    scheduler = Scheduler([job("a"), job("b")], RetryPolicy(attempts=3), lambda r, f: recorded.append((r.attempt, f)))
    first = scheduler.next_job("w0", only_worker=False)
    assert first is not None
    scheduler.finished(result(first, Outcome.ERROR))
    other = scheduler.next_job("w0", only_worker=False)
    assert other is not None
    assert other.key == "b", "the worker that failed gets something else"
    again = scheduler.next_job("w1", only_worker=False)
    assert again is not None
    assert (again.key, again.attempt) == ("a", 1)
    scheduler.finished(result(again, Outcome.ERROR, "w1"))
    last = scheduler.next_job("w0", only_worker=True)
    assert last is not None
    scheduler.finished(result(last, Outcome.ERROR))
    assert recorded == [(0, False), (1, False), (2, True)]


def test_an_interrupted_attempt_does_not_count() -> None:
    recorded: list[bool] = []
    scheduler = Scheduler([job("a")], RetryPolicy(attempts=1), lambda _, final: recorded.append(final))
    for outcome in (Outcome.INTERRUPTED, Outcome.INTERRUPTED, Outcome.SUCCESS):
        taken = scheduler.next_job("w0")
        assert taken is not None
        scheduler.finished(result(taken, outcome))
    assert recorded == [False, False, True]
    assert scheduler.done


def test_nothing_but_errors_ends_the_run() -> None:
    scheduler = Scheduler(map(job, "abcdef"), RetryPolicy(attempts=1, stop_after=3), lambda *_: None)
    jobs = [scheduler.next_job("w0") for _ in range(3)]
    failed = [result(taken, Outcome.ERROR) for taken in jobs if taken is not None]
    scheduler.finished(failed[0])
    scheduler.finished(failed[1])
    with pytest.raises(TooManyErrorsError, match="3 episodes in a row ended in errors; the last: broken"):
        scheduler.finished(failed[2])


@given(st.lists(st.sampled_from(list(Outcome)), min_size=1, max_size=60), st.integers(1, 4), st.integers(1, 6))
def test_every_episode_gets_exactly_one_final_attempt(outcomes: list[Outcome], attempts: int, episodes: int) -> None:
    finals: list[str] = []
    numbers: list[tuple[str, int]] = []

    def record(attempt: EpisodeResult, final: bool) -> None:
        numbers.append((attempt.key, attempt.attempt))
        if final:
            finals.append(attempt.key)

    jobs = [job(f"e{i}") for i in range(episodes)]
    scheduler = Scheduler(jobs, RetryPolicy(attempts, stop_after=0), record)
    script = iter(outcomes)
    while not scheduler.done:
        taken = scheduler.next_job("w0")
        assert taken is not None
        scheduler.finished(result(taken, next(script, Outcome.SUCCESS)))
    assert sorted(finals) == sorted(j.key for j in jobs)
    assert len(numbers) == len(set(numbers)), "no attempt is recorded twice"
