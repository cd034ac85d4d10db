import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.thinkjepa.masking import LONG_TUBES, SEED_BLOCKS, SHORT_TUBES, BlockSampler, sample_masks


@settings(max_examples=40)
@given(
    st.sampled_from([SEED_BLOCKS, SHORT_TUBES, LONG_TUBES]),
    st.integers(1, 4),
    st.integers(4, 16),
    st.integers(5, 14),
    st.integers(0, 2**31),
)
def test_context_and_targets_are_disjoint_sorted_positions_of_the_clip(blocks, batch, frames, side, seed):
    masks = sample_masks(blocks, batch=batch, frames=frames, side=side, rng=np.random.default_rng(seed))
    for context, target in zip(masks.context, masks.target, strict=True):
        assert len(context)
        assert len(target)
        together = torch.cat((context, target))
        assert together.unique().numel() == together.numel()
        assert together.min() >= 0
        assert together.max() < frames * side**2
        assert (context.diff() > 0).all()
        assert (target.diff() > 0).all()


def test_one_clip_is_fully_divided():
    masks = sample_masks(SEED_BLOCKS, batch=1, frames=16, side=14, rng=np.random.default_rng(0))
    assert masks.context.shape[1] + masks.target.shape[1] == 16 * 14**2


@pytest.mark.parametrize("blocks", [SHORT_TUBES, LONG_TUBES])
def test_tubes_have_the_same_patches_in_every_frame(blocks):
    masks = sample_masks(blocks, batch=3, frames=4, side=8, rng=np.random.default_rng(1))
    by_frame = masks.context.reshape(3, 4, -1)
    assert (by_frame // 64 == torch.arange(4).view(1, 4, 1)).all()
    assert (by_frame % 64 == by_frame[:, :1] % 64).all()


SCHEMES = pytest.mark.parametrize(
    ("blocks", "masked", "middle", "context", "target"),
    [
        (SEED_BLOCKS, 0.44, (0.30, 0.59), 0.45, 0.32),
        (SHORT_TUBES, 0.63, (0.51, 0.76), 0.20, 0.45),
        (LONG_TUBES, 0.84, (0.73, 0.94), 0.05, 0.78),
    ],
)


@SCHEMES
def test_shares_are_those_of_the_documentation(blocks, masked, middle, context, target):
    """As training gets them: of one clip by itself, and of batches that are cut to their poorest clip."""

    def shares(batch, count):
        rng = np.random.default_rng(0)
        masks = [sample_masks(blocks, batch=batch, frames=16, side=14, rng=rng) for _ in range(count)]
        return np.array([(one.context.shape[1], one.target.shape[1]) for one in masks]).T / (16 * 196)

    _, alone = shares(1, 800)
    assert alone.mean() == pytest.approx(masked, abs=0.015)
    assert np.percentile(alone, [5, 95]) == pytest.approx(middle, abs=0.03)
    assert shares(64, 60).mean(axis=1) == pytest.approx([context, target], abs=0.03)


@SCHEMES
def test_short_clips_are_masked_like_long_ones(blocks, masked, middle, context, target):
    rng = np.random.default_rng(3)
    shares = [sample_masks(blocks, batch=32, frames=4, side=8, rng=rng).context.shape[1] / 256 for _ in range(100)]
    assert np.mean(shares) == pytest.approx(context, abs=0.08)


def test_blocks_of_a_batch_have_one_size_and_places_of_their_own():
    one = (BlockSampler(count=1, scale=(0.15, 0.7), duration=(0.25, 0.5)),)
    targets = sample_masks(one, batch=8, frames=16, side=14, rng=np.random.default_rng(4)).target
    boxes = [tuple(len(np.unique(axis)) for axis in np.unravel_index(row, (16, 14, 14))) for row in targets.numpy()]
    assert len(set(boxes)) == 1
    assert np.prod(boxes[0]) == targets.shape[1], "nothing is cut"
    assert len({tuple(row) for row in targets.tolist()}) > 1


@settings(max_examples=60)
@given(st.integers(0, 2**31), st.sampled_from([4, 8, 16]))
def test_a_block_has_the_extent_that_was_asked_for(seed, clip):
    rng = np.random.default_rng(seed)
    sampler = BlockSampler(count=1, scale=(0.15, 0.7), duration=(0.25, 0.5))
    target = sample_masks((sampler,), batch=1, frames=clip, side=14, rng=rng).target[0]
    times, rows, columns = (np.unique(axis) for axis in np.unravel_index(target.numpy(), (clip, 14, 14)))
    assert len(target) == len(times) * len(rows) * len(columns)  # one solid box
    assert clip / 4 <= len(times) <= clip / 2
    half = 0.5  # rounding of a side
    assert (len(rows) - half) * (len(columns) - half) <= 0.7 * 196
    assert (len(rows) + half) * (len(columns) + half) >= 0.15 * 196
    assert (len(rows) - half) / (len(columns) + half) <= 1.5
    assert len(rows) == 14 or (len(rows) + half) / (len(columns) - half) >= 0.75


def test_blocks_that_leave_no_context_are_refused():
    everything = (BlockSampler(count=1, scale=(1.0, 1.0), aspect=(1.0, 1.0)),)
    with pytest.raises(ValueError, match="mask fewer or smaller blocks"):
        sample_masks(everything, batch=1, frames=2, side=4, rng=np.random.default_rng(0))
