"""Where numbers come from: code, versions, hardware. Kept with every session of a run."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

import harness

PACKAGES = ("gymnasium", "hydra-core", "numpy", "pandas", "peft", "pybullet", "ray", "torch", "transformers")


def collect(executor: dict[str, Any]) -> dict[str, Any]:
    """All of it, as JSON data. Anything that this machine does not have is ``None``."""
    return {
        "harness": harness.__version__,
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "git": git_state(Path(harness.__file__).parent),
        "python": platform.python_version(),
        "packages": {name: package_version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpus": gpu_names(),
        "executor": executor,
    }


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit and whether tracked files differ from it; ``None`` outside of a git checkout."""
    commit = _git(folder, "rev-parse", "HEAD")
    status = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return None if commit is None else {"commit": commit, "dirty": bool(status)}


def package_version(name: str) -> str | None:
    """Installed version of a distribution."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def cpu_model() -> str:
    """The processor's name as the kernel gives it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def gpu_names() -> list[str]:
    """NVIDIA GPUs with driver version, as ``nvidia-smi`` lists them."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = [tool, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    answer = subprocess.run(query, capture_output=True, text=True, timeout=30, check=False)
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()] if answer.returncode == 0 else []


def _git(folder: Path, *arguments: str) -> str | None:
    if shutil.which("git") is None:
        return None
    answer = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
    return answer.stdout.strip() if answer.returncode == 0 else None
