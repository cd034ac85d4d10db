"""The sub-goals of recorded scenes: their words, what they are about and where that is, and which of them come true."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agents.thinkjepa.training.recordings import Episode, Recordings

MOST_NAMED = 3

Indices = npt.NDArray[np.int64]
Places = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Judged:
    """Sub-goals of the same scenes, and whether an action brings them about.

    Attributes:
        text: ``(n, others)``, index of the sub-goal's words.
        kind: ``(n, others)``, index of its kind.
        named: ``(n, others, 3, 3)``, see `Scenes.where`.
        true: ``(n, others)``.
    """

    text: Indices
    kind: Indices
    named: Places
    true: npt.NDArray[np.bool_]


class Scenes:
    """What recordings say about sub-goals.

    Args:
        recordings: Where they are.
        block: Rows from a state to the next.

    Attributes:
        texts: All words, sorted.
        kinds: All kinds, sorted.
    """

    def __init__(self, recordings: Recordings, block: int) -> None:
        self._recordings = recordings
        self._block = block
        self._positions = recordings.positions()
        self._columns = {name: slot for slot, name in enumerate(recordings.names)}
        self._starts = np.array([episode.start for episode in recordings.episodes])
        self.texts = sorted({text for e in recordings.episodes for _, text, _ in e.subgoals})
        self.kinds = sorted({kind for e in recordings.episodes for kind, _, _ in e.subgoals})
        self._text = {text: number for number, text in enumerate(self.texts)}
        self._kind = {kind: number for number, kind in enumerate(self.kinds)}

    def text_and_kind(self, episode: Episode, number: int) -> tuple[int, int]:
        """Indices of a sub-goal's words and kind."""
        kind, text, _ = episode.subgoals[number]
        return self._text[text], self._kind[kind]

    def where(self, episode: Episode, row: int, number: int) -> Places:
        """Where the things are, in a row, that a sub-goal is about: ``(3, 3)`` in metres, NaN where unknown."""
        where = np.full((MOST_NAMED, 3), np.nan, np.float32)
        for slot, thing in enumerate(episode.subgoals[number][2][:MOST_NAMED]):
            if thing in episode.places:
                where[slot] = episode.places[thing]
            elif self._positions is not None and thing in self._columns:
                where[slot] = self._positions[row, self._columns[thing]]
        return where

    def judged(self, rows: Indices, numbers: Indices, count: int, generator: np.random.Generator) -> Judged:
        """``count`` sub-goals that do not hold in each of ``rows`` ``(n,)``: half of them do in the next state.

        Those that come true are drawn evenly over kinds. Those that do not, evenly over how much they have in common
        with another one: over how many of the things that sub-goal ``numbers`` ``(n,)`` is about. Where all hold, it is
        this one.
        """
        found: list[list[int]] = []
        named: list[Places] = []
        for row, number in zip(map(int, rows), map(int, numbers), strict=True):
            episode = self._recordings.episodes[int(np.searchsorted(self._starts, row, "right")) - 1]
            assert episode.holds is not None
            step = row - episode.start
            pending, next_ = ~episode.holds[step], episode.holds[step + self._block]
            true, false = np.flatnonzero(pending & next_), np.flatnonzero(pending & ~next_)
            kinds = np.array([self._kind[episode.subgoals[option][0]] for option in true.tolist()], np.int64)
            about = set(episode.subgoals[number][2])
            common = np.array(
                [len(about.intersection(episode.subgoals[option][2])) for option in false.tolist()], np.int64
            )
            half = min(count // 2 if len(false) else count, count * len(true))
            drawn = [*_evenly(true, kinds, half, generator), *_evenly(false, common, count - half, generator)]
            drawn = drawn or [number] * count  # everything holds already
            for slot, option in enumerate(drawn):
                found.append([*self.text_and_kind(episode, option), int(slot < half)])
                named.append(self.where(episode, row, option))
        table = np.array(found, np.int64).reshape(len(rows), count, 3)
        places = np.array(named, np.float32).reshape(len(rows), count, MOST_NAMED, 3)
        return Judged(table[..., 0], table[..., 1], places, table[..., 2].astype(bool))


def _evenly(options: Indices, groups: Indices, count: int, generator: np.random.Generator) -> list[int]:
    """``count`` options, with replacement; every group is as likely as any other."""
    if not count or not len(options):
        return []
    weights = 1 / np.bincount(groups)[groups]
    return [int(option) for option in generator.choice(options, count, p=weights / weights.sum())]
