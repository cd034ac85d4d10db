"""Episode videos: frames in, the bytes of an mp4 file out."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import numpy.typing as npt

FRAMES_PER_SECOND = 10


class VideoRecorder:
    """Encodes frames as they come (H.264, yuv420p, readable by browsers), so that memory does not grow.

    Frames are ``uint8 (H, W, 3)``, all of the first one's size.
    """

    def __init__(self, fps: int = FRAMES_PER_SECOND) -> None:
        self._fps = fps
        self._writer: Any = None
        self._shape: tuple[int, ...] = ()
        self._folder = tempfile.TemporaryDirectory(prefix="harness-video-")
        self._path = Path(self._folder.name) / "episode.mp4"

    def add(self, frame: npt.NDArray[np.uint8]) -> None:
        """Append one frame."""
        image = np.asarray(frame)
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"a frame must be uint8 (H, W, 3), not {image.dtype} {image.shape}")
        if self._writer is not None and image.shape != self._shape:
            raise ValueError(f"a frame of {image.shape} follows frames of {self._shape}; they must not change size")
        self._shape = image.shape
        # H.264 wants even sizes
        image = np.ascontiguousarray(np.pad(image, ((0, image.shape[0] % 2), (0, image.shape[1] % 2), (0, 0)), "edge"))
        if self._writer is None:
            height, width = image.shape[:2]
            self._writer = imageio_ffmpeg.write_frames(
                str(self._path), (width, height), fps=self._fps, macro_block_size=2, quality=6, ffmpeg_log_level="error"
            )
            self._writer.send(None)
        self._writer.send(image)

    def finish(self) -> bytes | None:
        """The mp4 file, or ``None`` if no frame was added."""
        if self._writer is not None:
            self._writer.close()
        data = self._path.read_bytes() if self._path.exists() else None
        self._folder.cleanup()
        return data

    def discard(self) -> None:
        """Stop without a result."""
        self.finish()
