"""A page with one episode of each template: pictures, instructions, rules and certificate. It needs no other file."""

from __future__ import annotations

import base64
import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from PIL import Image

from thinkbench.env import ThinkBenchEnv
from thinkbench.literals import Literal
from thinkbench.show import Frame, replay
from thinkbench.specs import EpisodeRecord
from thinkbench.suite import Suite

_JPEG_QUALITY = 80

_STYLE = """
:root { color-scheme: light dark; font-family: system-ui, sans-serif; line-height: 1.45; }
body { max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
article { border-top: 1px solid #8886; padding: 1rem 0; }
h3 { margin: 0 0 .3rem; }
h3 small { font-weight: normal; opacity: .7; }
.strip { display: flex; gap: .5rem; overflow-x: auto; padding: .5rem 0; }
figure { margin: 0; flex: 0 0 auto; }
figure img { width: 15rem; display: block; border-radius: 4px; }
figcaption { font-size: .8rem; width: 15rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; font-size: .9rem; margin: .3rem 0; }
dt { opacity: .7; } dd { margin: 0; } code { font-size: .9em; overflow-wrap: anywhere; }
"""

_CLAIMS = {
    "clearing": "things put out of the way: straight moves alone never reach the goal",
    "buffer": "a place where a thing waits: straight moves alone never reach the goal",
    "order": "the right order: in a wrong one, straight moves end where none is left",
    "none": "nothing beyond straight moves",
}


@dataclass(frozen=True)
class Card:
    """One episode on the page."""

    family: str
    html: str


def card(record: EpisodeRecord, suite: Suite, env: ThinkBenchEnv) -> Card:
    """The part of the page about one episode; replays its certified execution in ``env``.

    Raises:
        ValueError: The execution does not end in success here.
    """
    certificate = suite.certificates[record.episode_id]
    proof = certificate.insight
    facts = {
        "held-out wording": escape(record.instructions["held_out"]),
        "verbose wording": escape(record.instructions["verbose"]),
        "goal": _literals(record.meta["goal"]),
        "rules": _literals(record.meta["rules"]) or "none",
        "shortest plan": f"{record.horizon} moves, {escape(certificate.status)} by {escape(certificate.planner)}",
        "it needs": f"{_CLAIMS[proof.claim]} ({proof.states} states visited)",
        "PDDL": f"<code>SHA-256 {certificate.pddl}</code>",
    }
    listed = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in facts.items())
    frames = replay(record, certificate, env)
    html = (
        f"<article id='{record.meta['template']}'><h3>{record.meta['template']} <small>{record.episode_id}</small></h3>"
        f"<p>{escape(record.instructions['standard'])}</p>"
        f"<div class='strip'>{''.join(map(_figure, frames))}</div>"
        f"<details><summary>Certificate and other wordings</summary><dl>{listed}</dl></details></article>"
    )
    return Card(record.meta["family"], html)


def write(suite: Suite, cards: Sequence[Card], folder: Path) -> Path:
    """Write ``folder/index.html`` with ``cards``, which are in order of family; returns its path."""
    sections = [
        f"<section><h2>{family}</h2>{''.join(item.html for item in group)}</section>"
        for family, group in itertools.groupby(cards, key=lambda item: item.family)
    ]
    page = (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(suite.name)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(suite.name)}</h1>"
        f"<p>{len(suite.records)} episodes, suite hash <code>{suite.hash}</code>. One episode of each template: "
        "its start, what each action of its certified execution leads to, and the certificate.</p>"
        f"{''.join(sections)}</body></html>\n"
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "index.html"
    path.write_text(page, encoding="utf-8")
    return path


def _figure(frame: Frame) -> str:
    buffer = io.BytesIO()
    Image.fromarray(frame.picture).save(buffer, "JPEG", quality=_JPEG_QUALITY)
    data = base64.b64encode(buffer.getvalue()).decode()
    caption = escape(frame.caption)
    return (
        f"<figure><img alt='{caption}' src='data:image/jpeg;base64,{data}'><figcaption>{caption}</figcaption></figure>"
    )


def _literals(data: Sequence[Sequence[str]]) -> str:
    return escape("; ".join(str(Literal.from_list(words)) for words in data))
