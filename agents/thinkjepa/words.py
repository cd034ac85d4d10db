"""Sub-goals in words to vectors without a language model, deterministic and without anything to download.

Where a reasoner has a language model, its hidden states are the embedding of a sub-goal; where it has none, `embed`
takes their place: the Goal Projection Interface sees a vector of D_VLM numbers either way. A checkpoint says in
``gpi.text`` which of them it was trained on.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

_ARTICLES = frozenset({"a", "an", "the"})
_MOST_PHRASES = 4
_PLACES = 4  # of a feature in the vector; that two features meet in all of them does not happen


def embed(texts: Sequence[str], width: int) -> Tensor:
    """Hashed words: ``(K, width)`` float32 rows of unit mean square, equal for equal words on every machine.

    A text is the sum of its features: each word, each word with the number of articles before it, and each pair of
    neighbours. The number of articles tells noun phrases apart: "the red cube on the bowl" and "the bowl on the red
    cube" are the same bag of words. Each feature adds plus or minus one in four places, which are drawn by hashing it
    (Weinberger et al., "Feature hashing", ICML 2009). Case and punctuation do not matter.

    Raises:
        ValueError: A text holds no word.
    """
    return torch.stack([_embed_one(text, width) for text in texts])


@functools.lru_cache(maxsize=65536)
def _embed_one(text: str, width: int) -> Tensor:
    words = re.findall(r"[^\W_]+", text.lower())
    if not words:
        raise ValueError(f"the sub-goal {text!r} holds no word")
    vector = torch.zeros(width)
    for feature in _features(words):
        digest = hashlib.blake2b(feature.encode(), digest_size=8 * _PLACES).digest()
        for start in range(0, len(digest), 8):
            number = int.from_bytes(digest[start : start + 8], "little")
            vector[(number >> 1) % width] += 1 if number & 1 else -1
    return vector / vector.square().mean().sqrt().clamp_min(1e-6)


def _features(words: Sequence[str]) -> Iterator[str]:
    phrase = 0
    for before, word in zip(("", *words), words, strict=False):
        phrase += word in _ARTICLES
        yield word
        yield f"{min(phrase, _MOST_PHRASES)}:{word}"
        yield f"{before} {word}"
