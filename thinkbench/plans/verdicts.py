"""Answers judged and counted: by horizon, template and split, as Markdown and JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

from harness.plans import Answered, Answers, PlansError, Question, digest, question_ids, read_plans
from thinkbench.plans.attention import Looked, looked
from thinkbench.plans.judge import Judged, judge


@dataclass(frozen=True)
class Verdict:
    """A question, its answer, and what is to be said of it."""

    question: Question
    answered: Answered
    judged: Judged
    looked: tuple[Looked, ...]

    @property
    def same(self) -> bool:
        """Whether the answer is the reference plan word for word."""
        return self.answered.subgoals == self.question.subgoals


def verdicts(plans: Path, answers: Answers) -> list[Verdict]:
    """Judge answers.

    Raises:
        PlansError: The answers are to another set of plans.
    """
    if digest(plans) != answers.plans:
        raise PlansError(f"these are answers to another set of plans than {plans}; give the one that was asked")
    by_id = {answered.id: answered for answered in answers.answers}
    strange = sorted(by_id.keys() - set(question_ids(plans)))
    if strange:
        raise PlansError(f"{plans} has no question {strange[0]!r}; the answers are to other questions or were changed")
    found = []
    for question in read_plans(plans):
        answered = by_id.get(question.id)
        if answered is not None:
            judged = judge(question.problem, answered.subgoals)
            found.append(Verdict(question, answered, judged, tuple(looked(question, answered, answers))))
    return found


def report(found: Sequence[Verdict], answers: Answers, asked: int) -> dict[str, Any]:
    """Counts, rates and intervals as JSON data; ``asked`` is how many questions the set of plans has."""
    return {
        "asked": asked,
        "reasoner": dict(answers.reasoner),
        "plans": answers.plans,
        "all": _rates(found),
        "by_split": _grouped(found, lambda one: one.question.split),
        "by_horizon": _grouped(found, lambda one: one.question.horizon),
        "by_family": _grouped(found, lambda one: one.question.family),
        "by_template": _grouped(found, lambda one: one.question.template),
        "attention": _attention([one for verdict in found for one in verdict.looked]),
        "seconds": _seconds([one.answered.seconds for one in found]),
        "errors": sum(one.answered.error is not None for one in found),
    }


def markdown(data: dict[str, Any]) -> str:
    """The tables that people read; cells are rates with 95 % Wilson intervals."""
    lines = [f"Reasoner: {', '.join(f'{key} `{value}`' for key, value in data['reasoner'].items())}", ""]
    lines += ["| questions | correct | executable | as stated | legal steps |", "|---|---|---|---|---|"]
    groups = [("all", {"all": data["all"]})]
    groups += [(key, data[f"by_{key}"]) for key in ("split", "horizon", "family", "template")]
    for key, rows in groups:
        for name, row in rows.items():
            label = name if key == "all" else f"{key} {name}"
            cells = (_cell(row[metric], row["questions"]) for metric in ("correct", "executable", "as_stated"))
            lines.append(f"| {label} | {' | '.join(cells)} | {row['legal_steps']:.0%} |")
    seconds, attention = data["seconds"], data["attention"]
    answered = data["all"]["questions"]
    if answered < data["asked"]:
        lines += ["", f"Of {data['asked']} questions of the set, {answered} have an answer here."]
    lines += ["", f"{data['errors']} answers could not be read or given."]
    if seconds:
        lines.append(f"Seconds per answer: {seconds['p50']:.2f} (p50), {seconds['p95']:.2f} (p95).")
    if attention:
        lines.append(
            f"Attention of {attention['subgoals']} sub-goals: {attention['mass']:.1%} lies on pixels of what is named "
            f"(uniform attention: {attention['even_mass']:.1%}), which is {attention['among']:.1%} of what lies on "
            f"things at all ({attention['even_among']:.1%}); the cell that is looked at most shows some of it in "
            f"{attention['hit']:.1%} (a random cell: {attention['even_hit']:.1%})."
        )
    return "\n".join(lines) + "\n"


def _grouped(found: Sequence[Verdict], key: Callable[[Verdict], str | int]) -> dict[str, Any]:
    return {
        str(name): _rates([one for one in found if key(one) == name]) for name in sorted({key(one) for one in found})
    }


def _rates(found: Sequence[Verdict]) -> dict[str, Any]:
    steps = [one.judged.legal / max(len(one.answered.subgoals), 1) for one in found]
    return {
        "questions": len(found),
        "correct": _rate(one.judged.correct for one in found),
        "executable": _rate(one.judged.executable for one in found),
        "as_stated": _rate(one.same for one in found),
        "legal_steps": float(np.mean(steps)) if steps else 0.0,
    }


def _rate(outcomes: Iterable[bool]) -> dict[str, float]:
    values = list(outcomes)
    if not values:
        return {"count": 0, "rate": 0.0, "low": 0.0, "high": 1.0}
    interval = binomtest(sum(values), len(values)).proportion_ci(method="wilson")
    return {
        "count": sum(values),
        "rate": sum(values) / len(values),
        "low": float(interval.low),
        "high": float(interval.high),
    }


def _cell(rate: dict[str, float], total: int) -> str:
    low, high = 100 * rate["low"], 100 * rate["high"]
    return f"{100 * rate['rate']:.1f}% [{low:.1f}, {high:.1f}] ({rate['count']}/{total})"


def _attention(found: Sequence[Looked]) -> dict[str, float]:
    if not found:
        return {}
    means = {field.name: float(np.mean([getattr(one, field.name) for one in found])) for field in fields(Looked)}
    return {"subgoals": len(found), **means}


def _seconds(values: Sequence[float]) -> dict[str, float]:
    return {f"p{p}": float(np.percentile(values, p)) for p in (50, 95)} if values else {}
