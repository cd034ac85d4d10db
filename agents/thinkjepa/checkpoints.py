"""A model on disk.

A checkpoint is a folder, here or on the Hugging Face hub:

``config.json``
    The format's version, every size of the model, and the distances below which sub-goals count as reached.
``model.safetensors``
    The weights. Nothing in a checkpoint is ever unpickled.
``SHA256SUMS``
    Of the two files above; written last, so a folder without it was not saved to the end. ``sha256sum -c`` checks it.
``README.md``
    The model card.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from httpx2 import HTTPError
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from agents.thinkjepa.config import ThinkJEPAConfig
from agents.thinkjepa.distances import Distance
from agents.thinkjepa.model import ThinkJEPA
from harness.dataset import file_sha256

FORMAT_VERSION = 1
CONFIG, WEIGHTS, SUMS, CARD = "config.json", "model.safetensors", "SHA256SUMS", "README.md"
SHIPPED = Path(__file__).parents[1] / "checkpoints"
"""Models that come with the project, a folder each."""

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
"""``organisation/name``."""

_CHECKED = (CONFIG, WEIGHTS)
_FILES = (*_CHECKED, SUMS, CARD)


class CheckpointError(ValueError):
    """A checkpoint cannot be loaded or saved; the message says which file, why and what to do."""


@dataclass(frozen=True)
class Checkpoint:
    """A loaded model and what belongs to it.

    Attributes:
        model: In evaluation mode, on the CPU.
        thresholds: Distance below which a sub-goal counts as reached, by the name of the distance.
        digest: SHA-256 of ``SHA256SUMS``, which identifies weights and configuration together.
    """

    model: ThinkJEPA
    thresholds: Mapping[Distance, float]
    digest: str


@dataclass(frozen=True)
class _Config:
    format: int
    model: ThinkJEPAConfig
    thresholds: dict[Distance, float] = field(default_factory=dict)


def save_pretrained(
    model: ThinkJEPA,
    folder: Path,
    *,
    thresholds: Mapping[Distance, float] | None = None,
    description: str = "",
    push_to_hub: bool = False,
    repo_id: str | None = None,
    private: bool | None = None,
) -> str:
    """Write a checkpoint, and upload it if asked to; one that is there is replaced.

    Args:
        model: Its weights keep their dtype.
        folder: Made where it does not exist.
        thresholds: See `Checkpoint`.
        description: Of the model card, in Markdown: data, training command, seed, results.
        push_to_hub: Whether the folder is uploaded once it is written, in one commit, with the token of
            ``hf auth login``.
        repo_id: Where to: ``organisation/name``, made where it does not exist. `from_pretrained` loads it from there.
        private: Whether a repository that is made is private; the hub's default if not given.

    Returns:
        The checkpoint's digest.

    Raises:
        CheckpointError: There is no such id, and nothing is written; or the hub did not take the folder, which stays.
    """
    if push_to_hub != (repo_id is not None) or (repo_id is not None and not HUB_ID.fullmatch(repo_id)):
        raise CheckpointError(
            f"push_to_hub={push_to_hub} with repo_id={repo_id}: to upload, give push_to_hub=True and "
            "repo_id=organisation/name"
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SUMS).unlink(missing_ok=True)
    config = _Config(FORMAT_VERSION, model.config, dict(thresholds or {}))
    (folder / CONFIG).write_text(json.dumps(asdict(config), indent=2) + "\n")
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / WEIGHTS)
    (folder / CARD).write_text(_card(model, config, description))
    (folder / SUMS).write_text("".join(f"{file_sha256(folder / name)}  {name}\n" for name in _CHECKED))
    if repo_id is not None:
        _upload(folder, repo_id, private)
    return file_sha256(folder / SUMS)


def from_pretrained(source: str | Path, *, revision: str | None = None, digest: str | None = None) -> Checkpoint:
    """Load a checkpoint after checking every byte of it.

    Args:
        source: A local folder, the name of a model that is shipped with the project (a folder of
            ``agents/checkpoints``), or a hub id such as ``organisation/name``, which is downloaded and cached.
        revision: Branch, tag or commit on the hub.
        digest: What the checkpoint's digest must be; sums that lie beside the files tell damage, this tells exchange.

    Raises:
        CheckpointError: Files are missing, damaged, changed, of another format, or do not fit each other.
    """
    folder = locate(source, revision)
    found = _check_sums(folder)
    if digest is not None and found != digest:
        raise CheckpointError(f"{folder} has digest {found}, expected {digest}: it is another checkpoint")
    config = _read_config(folder / CONFIG)
    with torch.device("meta"):  # the weights follow; random ones would be thrown away
        model = ThinkJEPA(config.model)
    try:
        # Copies: what safetensors gives lives in the file, which may be replaced, and is not aligned for fast kernels.
        weights = {name: tensor.clone() for name, tensor in load_file(folder / WEIGHTS).items()}
        model.load_state_dict(weights, assign=True)
    except SafetensorError as error:
        raise CheckpointError(
            f"{folder / WEIGHTS} is no complete safetensors file ({error}); fetch it again"
        ) from error
    except RuntimeError as error:
        raise CheckpointError(f"{folder}: {WEIGHTS} does not fit the sizes in {CONFIG}: {error}") from error
    return Checkpoint(model.eval(), config.thresholds, found)


class Description(NamedTuple):
    """A checkpoint without its weights.

    Attributes:
        config: What `from_pretrained` would build.
        thresholds: See `Checkpoint`.
    """

    config: ThinkJEPAConfig
    thresholds: Mapping[Distance, float]


def describe(source: str | Path) -> Description:
    """A checkpoint after the same check of every byte as in `from_pretrained`; no weight is loaded.

    Raises:
        CheckpointError: See `from_pretrained`.
    """
    folder = locate(source)
    _check_sums(folder)
    read = _read_config(folder / CONFIG)
    return Description(read.model, read.thresholds)


def locate(source: str | Path, revision: str | None = None) -> Path:
    """The folder of a checkpoint; `from_pretrained` says what ``source`` may be.

    Raises:
        CheckpointError: There is no such checkpoint.
    """
    if Path(source).is_dir():
        return Path(source)
    shipped = {folder.name: folder for folder in SHIPPED.iterdir() if (folder / SUMS).is_file()}
    if str(source) in shipped:
        return shipped[str(source)]
    if isinstance(source, Path) or not HUB_ID.fullmatch(source):
        raise CheckpointError(
            f"{source}: no such folder, no shipped model ({', '.join(sorted(shipped))}), no hub id (organisation/name)"
        )
    try:
        return Path(snapshot_download(source, revision=revision, allow_patterns=list(_FILES)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise CheckpointError(
            f"{source}: no such folder, and the hub did not give it ({type(error).__name__}: {error}); "
            "check the name, the revision and the network, or give a local folder"
        ) from error


def _upload(folder: Path, repo_id: str, private: bool | None) -> None:
    try:
        api = HfApi()
        api.create_repo(repo_id, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repo_id, folder_path=folder, allow_patterns=list(_FILES), commit_message="Save a checkpoint"
        )
    except (HTTPError, HFValidationError, OSError) as error:
        raise CheckpointError(
            f"{folder} is written, but the hub did not take it as {repo_id} ({type(error).__name__}: {error}); log in "
            f"with `hf auth login`, check the name and the network, then `hf upload {repo_id} {folder}`"
        ) from error


def _check_sums(folder: Path) -> str:
    """Compare all sums; returns the digest."""
    missing = [name for name in (SUMS, *_CHECKED) if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{folder} is no complete checkpoint: {', '.join(missing)} missing; save or fetch it again"
        )
    text = (folder / SUMS).read_bytes()
    found = re.findall(rb"^([0-9a-f]{64})  (\S+)$", text, re.MULTILINE)
    sums = {name.decode(errors="replace"): digest.decode() for digest, name in found}
    for name in _CHECKED:
        actual = file_sha256(folder / name)
        if sums.get(name) != actual:
            raise CheckpointError(
                f"{folder / name} has SHA-256 {actual}, {SUMS} says {sums.get(name, 'nothing')}: "
                "the file is damaged or was changed; fetch it again"
            )
    return hashlib.sha256(text).hexdigest()


def _read_config(path: Path) -> _Config:
    try:
        data = json.loads(path.read_text())
        version = data["format"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is no configuration of a checkpoint: {error}") from error
    if version != FORMAT_VERSION:
        raise CheckpointError(f"{path} has format {version}, this version reads {FORMAT_VERSION}")
    try:
        return TypeAdapter(_Config).validate_python(data)
    except ValidationError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _card(model: ThinkJEPA, config: _Config, description: str) -> str:
    def millions(module: nn.Module) -> str:
        return f"{sum(parameter.numel() for parameter in module.parameters()) / 1e6:.2f} M"

    world = config.model.world_model
    thresholds = ", ".join(f"{name} < {value:.4g}" for name, value in config.thresholds.items()) or "not calibrated"
    return f"""---
library_name: thinkjepa
license: apache-2.0
pipeline_tag: robotics
---

# ThinkJEPA

A world model with a Goal Projection Interface: frames of {world.encoder.image_size} x {world.encoder.image_size}
pixels, actions of {world.action_dim} components, states of {world.tokens} tokens of width {world.encoder.width}.

| part | parameters |
|---|---|
| encoder | {millions(model.world_model.encoder)} |
| predictor | {millions(model.world_model.predictor)} |
| Goal Projection Interface | {millions(model.gpi)} |

A sub-goal counts as reached at: {thresholds}.

```python
from agents.thinkjepa.checkpoints import from_pretrained

checkpoint = from_pretrained("FOLDER_OR_HUB_ID")
```

{description}
"""
