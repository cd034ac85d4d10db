"""``harness doctor``: is this machine fit, and what to do where it is not."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import psutil
from rich.table import Table

from harness import provenance
from harness.cli.options import verb, wide_console
from harness.interfaces import Check

CHECKS_GROUP = "thinkjepa_harness.checks"
"""Entry-point group of functions ``() -> Iterable[Check]`` by which worlds add checks of renderers and assets."""

MARKS = {"ok": "[green]ok", "note": "[yellow]note", "fail": "[red]FAIL"}


def add(verbs: Any) -> None:
    """Add the verb."""
    verb(
        verbs,
        "doctor",
        _doctor,
        "check versions, renderer, GPU, Ray, assets and disk, with remedies",
        "Exit status: 0 nothing failed (notes are fine), 1 something did.\n",
    )


def _doctor(arguments: argparse.Namespace) -> int:  # noqa: ARG001 - the verb has no options
    table = Table(box=None, pad_edge=False)
    for column in ("", "what", "found", "remedy"):
        table.add_column(column)
    failed = False
    for check in _all_checks():
        table.add_row(MARKS[check.status], check.name, check.found, check.remedy)
        failed |= check.status == "fail"
    wide_console().print(table)
    return 1 if failed else 0


def _all_checks() -> Iterator[Check]:
    yield from _machine()
    yield from _torch()
    yield from _ray()
    for entry in sorted(importlib.metadata.entry_points(group=CHECKS_GROUP), key=lambda entry: entry.name):
        yield from _guarded(entry.name, entry.load)


def _guarded(name: str, load: Callable[[], Callable[[], Any]]) -> Iterator[Check]:
    """A check that cannot even run is a finding, not the end of the doctor."""
    try:
        yield from load()()
    except Exception as error:  # noqa: BLE001 - reported as a failed check
        yield Check(name, "fail", f"{type(error).__name__}: {error}", "reinstall with `make install`")


def _machine() -> Iterator[Check]:
    version = platform.python_version()
    fine = (3, 11) <= sys.version_info[:2] < (3, 13)
    yield Check("python", "ok" if fine else "fail", version, "" if fine else "use Python 3.11 or 3.12")
    yield Check("cpu", "ok", f"{os.cpu_count()} x {provenance.cpu_model()}")
    memory = psutil.virtual_memory()
    gib = memory.available / 2**30
    yield Check(
        "memory",
        "ok" if gib > 2 else "note",
        f"{gib:.1f} of {memory.total / 2**30:.1f} GiB free",
        "" if gib > 2 else "a worker takes up to 1.2 GiB: run fewer workers",
    )
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    yield Check("disk", "ok" if free > 5 else "note", f"{free:.0f} GiB free", "" if free > 5 else "videos need space")
    for name in provenance.PACKAGES:
        found = provenance.package_version(name)
        optional = name in ("peft", "transformers")
        yield Check(
            name,
            "ok" if found else ("note" if optional else "fail"),
            found or "not installed",
            "" if found else ("only learned agents need it" if optional else "run `make install`"),
        )
    yield Check("ffmpeg", "ok", imageio_ffmpeg.get_ffmpeg_version())
    state = provenance.git_state(Path(provenance.__file__).parent)
    found = (
        "not a git checkout" if state is None else state["commit"][:12] + (" with changes" if state["dirty"] else "")
    )
    yield Check("code", "ok", found)


def _torch() -> Iterator[Check]:
    gpus = provenance.gpu_names()
    try:
        import torch
    except ImportError as error:
        yield Check("torch", "fail", str(error), "run `make install`")
        return
    if torch.cuda.is_available():
        yield Check("gpu", "ok", f"{torch.cuda.get_device_name(0)}, CUDA {torch.version.cuda}")
    elif gpus:
        remedy = "this torch cannot use it; `make install TORCH=cuda` installs one that can"
        yield Check("gpu", "note", gpus[0], remedy)
    else:
        yield Check("gpu", "ok", "none; everything runs on the CPU")


def _ray() -> Iterator[Check]:
    import ray

    shm = Path("/dev/shm")
    free = shutil.disk_usage(shm).free / 2**30 if shm.exists() else 0.0
    remedy = "executor=ray needs shared memory: docker run --shm-size=1g, or use executor=local"
    yield Check(
        "ray",
        "ok" if free > 0.3 else "note",
        f"{ray.__version__}, {free:.1f} GiB /dev/shm",
        "" if free > 0.3 else remedy,
    )
