"""What is told of training: lines and a bar on the terminal, ``metrics.jsonl``, and files for TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tensorboardX import SummaryWriter

METRICS, BOARD = "metrics.jsonl", "tensorboard"


class ProgressReport:
    """Tells of the steps; use it as a context manager.

    Args:
        out: The run's folder.
        first: Steps that were done before; what was noted after them, by a process that was killed, is dropped.
        steps: Of the whole run.
        console: Where lines and bar go.
    """

    def __init__(self, out: Path, first: int, steps: int, console: Console) -> None:
        self._metrics = out / METRICS
        if self._metrics.exists():
            kept = [line for line in self._metrics.read_text().splitlines() if _step(line) <= first]
            self._metrics.write_text("".join(f"{line}\n" for line in kept))
        self._board = SummaryWriter(str(out / BOARD), purge_step=first + 1 if first else None)
        columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self._console = console
        self._task = self._bar.add_task("training", total=steps, completed=first)

    def __enter__(self) -> ProgressReport:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()
        self._board.close()

    def losses(self, step: int, values: Mapping[str, float]) -> None:
        """Means since the last call, and seconds per step."""
        self._bar.update(self._task, completed=step)
        self._note(step, "train", values)

    def health(self, step: int, values: Mapping[str, float]) -> None:
        """Measurements on held-out data."""
        self._note(step, "health", values)

    def _note(self, step: int, what: str, values: Mapping[str, float]) -> None:
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        self._console.print(f"step {step}  {what}  {numbers}", highlight=False, soft_wrap=True)
        with self._metrics.open("a") as stream:
            stream.write(json.dumps({"step": step, "what": what, **values}) + "\n")
        for name, value in values.items():
            self._board.add_scalar(f"{what}/{name}", value, step)
        self._board.flush()


def _step(line: str) -> int:
    try:
        return int(json.loads(line)["step"])
    except ValueError:  # the last line of a process that was killed while it wrote
        return 2**62
