import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agents.thinkjepa.words import embed

_COLOURS, _KINDS = ("red", "blue", "green"), ("cube", "bowl", "tray")
_SENTENCES = [
    f"Put the {a} {b} on the {c} {d}."
    for a in _COLOURS
    for b in _KINDS
    for c in _COLOURS
    for d in _KINDS
    if (a, b) != (c, d)
]


def test_embeddings_are_the_same_on_every_machine():
    vector = embed(["Put the red cube on the blue bowl."], 64)[0]
    assert vector.nonzero().flatten()[:6].tolist() == [3, 4, 5, 6, 8, 9]
    assert vector[[3, 4, 5, 6, 8, 9]].sign().tolist() == [-1, -1, 1, 1, -1, 1]
    assert vector.square().mean() == pytest.approx(1.0)


def test_who_goes_where_can_be_read_linearly():
    """The words are the same bag; what is to be moved is still a linear function of the vector."""
    vectors = embed(_SENTENCES, 512)
    moved = torch.tensor([float(sentence.split()[2] == "red") for sentence in _SENTENCES])
    design = torch.cat((vectors, torch.ones(len(vectors), 1)), dim=1)
    half = torch.arange(len(vectors)) % 2 == 0
    weights = torch.linalg.lstsq(design[half], moved[half, None], driver="gelsd").solution
    assert (((design[~half] @ weights).squeeze() > 0.5) == (moved[~half] > 0.5)).float().mean() > 0.95


def test_different_sentences_are_different():
    vectors = embed(_SENTENCES, 512) / 512**0.5
    similar = (vectors @ vectors.T).fill_diagonal_(0)
    assert similar.max() < 0.99


@given(st.sampled_from(_SENTENCES))
def test_case_and_punctuation_do_not_matter(sentence):
    assert torch.equal(embed([sentence], 128), embed([sentence.upper().replace(".", "!")], 128))


def test_words_are_those_of_any_script() -> None:
    red, blue = embed(["\u7ea2\u8272\u65b9\u5757", "\u84dd\u8272\u65b9\u5757"], 128)
    assert not torch.equal(red, blue)


def test_a_sub_goal_without_words_is_refused():
    with pytest.raises(ValueError, match="holds no word"):
        embed(["..."], 16)
