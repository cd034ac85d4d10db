"""Packs: everything is there again, small, and damage is refused."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from harness import pack
from harness.cli import main
from harness.dataset import Dataset, resized
from harness.pack import PackError, load_pack, write_pack
from tests.harness.toy_runs import TOY

COLUMNS = ["observation.images.rgb", "observation.x", "observation.words"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    run_dir = tmp_path_factory.mktemp("pack") / "run"
    assert main(["collect", *TOY, "agent=walker", f"run_dir={run_dir}", "limit=4"]) == 0
    return Dataset(run_dir / "dataset")


def test_nothing_is_lost(dataset: Dataset, tmp_path: Path) -> None:
    write_pack(dataset, tmp_path / "data.npz", columns=COLUMNS)
    packed = load_pack(tmp_path / "data.npz")
    assert len(packed) == dataset.info["total_frames"]
    for number in range(len(dataset)):
        own = packed.columns["episode_index"] == number
        for name, values in dataset.episode(number).items():
            if name in COLUMNS[1:] or not name.startswith("observation."):
                np.testing.assert_array_equal(packed.columns[name][own], values)
        np.testing.assert_array_equal(packed.images["rgb"][own], dataset.episode(number)[COLUMNS[0]])
    assert "observation.secret" not in packed.columns
    assert packed.meta["tasks"] == dataset.tasks
    assert len(packed.meta["episodes"]) == len(dataset)
    assert [row["instruction"] for row in packed.meta["labels"]] == dataset.labels["instruction"].tolist()
    again = tmp_path / "again.npz"
    write_pack(dataset, again, columns=COLUMNS)
    assert again.read_bytes() == (tmp_path / "data.npz").read_bytes()


def test_pictures_can_be_packed_smaller(dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "data.npz"
    words = ["pack", str(dataset.root), "-o", str(target), "--size", "4", "--columns", *COLUMNS]
    assert main(words) == 0
    assert capsys.readouterr().out.strip() == str(target)
    expected = [resized(image, 4) for image in dataset.episode(0)[COLUMNS[0]]]
    np.testing.assert_array_equal(load_pack(target).images["rgb"][: len(expected)], expected)
    assert main([*words, "--limit-mib", "0.001"]) == 2
    assert "choose a smaller --size" in capsys.readouterr().err


@given(st.data())
def test_differences_are_undone(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 6))
    images = data.draw(hnp.arrays(np.uint8, (count, 2, 2, 3)))
    background = data.draw(hnp.arrays(np.uint8, (2, 2, 3)))
    first = np.array([True, *data.draw(st.lists(st.booleans(), min_size=count - 1, max_size=count - 1))])
    differences = pack._differences(images, background, first)
    np.testing.assert_array_equal(pack._summed(differences, background, first), images)


def test_areas_are_averaged() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    image[:2, :2] = [[[100] * 3, [200] * 3], [[0] * 3, [100] * 3]]
    assert resized(image, 4) is image
    np.testing.assert_array_equal(resized(image, 2)[0, 0], [100, 100, 100])
    np.testing.assert_array_equal(resized(image, 2)[1, 1], [0, 0, 0])


def test_what_cannot_be_packed_is_refused(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=r"observation.images.depth is float32 .* only RGB pictures can be packed"):
        write_pack(dataset, tmp_path / "data.npz")
    assert main(["pack", str(dataset.root), "-o", str(tmp_path / "x.npz"), "--columns", "observation.smell"]) == 2
    assert "has no column observation.smell; it has" in capsys.readouterr().err
    monkeypatch.setattr(Dataset, "__len__", lambda self: 0)
    assert main(["pack", str(dataset.root), "-o", str(tmp_path / "x.npz")]) == 2
    assert "has no episodes; there is nothing to pack" in capsys.readouterr().err
    assert main(["pack", str(tmp_path), "-o", str(tmp_path / "x.npz")]) == 2
    assert "holds no complete dataset" in capsys.readouterr().err


def test_damaged_packs_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    write_pack(dataset, path, columns=COLUMNS)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0x55  # amid what LZMA wrote
    for damaged in (whole[: len(whole) // 2], bytes(flipped), b"", b"PK not really"):
        path.write_bytes(damaged)
        with pytest.raises(PackError, match="is no pack, or damaged"):
            load_pack(path)
    with zipfile.ZipFile(path, "w") as file:
        pack._write(file, "meta", pack._json_bytes({"format_version": 2}))
    with pytest.raises(PackError, match="has format version 2, this harness reads 1"):
        load_pack(path)


def test_reading_needs_numpy_alone() -> None:
    code = (
        "import sys, harness.pack; print([m for m in ('pybullet', 'pandas', 'pyarrow', 'torch') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
