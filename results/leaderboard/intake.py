"""What comes into a leaderboard: runs and entries, verified, each as one file named by its content."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness.runs import UNTRAINED
from harness.store import RunReader, StoreError
from results.entry.verify import verify_entry
from results.entry.writer import export_entry
from results.leaderboard.build import MARKER, UNFINISHED, is_site
from results.leaderboard.runs import ID_LENGTH


def check_new(folder: Path) -> None:
    """Raise `StoreError` unless a new leaderboard can be built there."""
    if is_site(folder):
        raise StoreError(f"{folder} is a leaderboard already; `harness leaderboard add ENTRY {folder}` extends it")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StoreError(f"{folder} is not empty; name a new folder")


def check_site(folder: Path) -> None:
    """Raise `StoreError` unless there is a leaderboard."""
    if not is_site(folder):
        raise StoreError(f"{folder} is no leaderboard ({MARKER} is missing); `harness leaderboard build` makes one")


def take_in(sources: Sequence[Path], folder: Path, config_dir: Path | None = None) -> list[Path]:
    """Verify runs and entries and put them into ``folder/entries``, all or none.

    A run's folder becomes an entry, and its videos come along.

    Returns:
        The new files.

    Raises:
        StoreError: if a source is refused, given twice, or there already; unless the last one to come in was killed
            before all pages showed it, and may be this one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".intake-", dir=folder) as staging_name:
        staging = Path(staging_name)
        for name in ("entries", "videos"):
            (staging / name).mkdir()
        for source in sources:
            _stage(source, staging, folder, config_dir)
        staged = sorted(path for name in ("entries", "videos") for path in (staging / name).iterdir())
        (folder / UNFINISHED).touch()
        for path in staged:
            target = folder / path.parent.name / path.name
            target.parent.mkdir(exist_ok=True)
            if target.is_dir():
                shutil.rmtree(target)
            path.replace(target)
    return [folder / "entries" / path.name for path in staged if path.parent.name == "entries"]


def _stage(source: Path, staging: Path, folder: Path, config_dir: Path | None) -> None:
    entry = staging / "entry.zip"
    if source.is_file():
        shutil.copyfile(source, entry)
    else:
        export_entry(source, entry)
    verified = verify_entry(entry, config_dir=config_dir)
    if UNTRAINED in verified.deviations:
        raise StoreError(f"{source} has untrained weights, so it stands beside no other run; leave it out")
    name = verified.digest[:ID_LENGTH]
    if (folder / "entries" / f"{name}.zip").exists() and not (folder / UNFINISHED).exists():
        raise StoreError(f"{source} is in {folder} already, as entry {name}")
    if (staging / "entries" / f"{name}.zip").exists():
        raise StoreError(f"{source} is given twice")
    entry.replace(staging / "entries" / f"{name}.zip")
    if source.is_dir():
        _copy_videos(source, staging / "videos" / name)


def _copy_videos(run_dir: Path, target: Path) -> None:
    with RunReader(run_dir) as reader:
        names = {row["key"]: row["video"] for row in reader.rows("attempts") if row["final"] and row["video"]}
    for key, name in names.items():
        video = run_dir / "videos" / name
        if video.is_file():
            target.mkdir(exist_ok=True)
            shutil.copyfile(video, target / f"{key}.mp4")


def discard(entries: Sequence[Path]) -> None:
    """Take back what `take_in` put in, because no page can be made of it."""
    for entry in entries:
        entry.unlink(missing_ok=True)
        shutil.rmtree(entry.parents[1] / "videos" / entry.stem, ignore_errors=True)
