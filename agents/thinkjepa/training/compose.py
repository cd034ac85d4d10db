"""From the command line to a checked configuration, and from that to a model's: Hydra composes, types check."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.resources import files
from typing import Any, TypeVar

import yaml
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import TypeAdapter, ValidationError

from agents.thinkjepa.config import ThinkJEPAConfig
from agents.thinkjepa.presets import preset
from agents.thinkjepa.training.config import LoopConfig, Target, TrainConfig, TrainingError

LANGUAGE_DIM = 512
"""D_VLM with `words.embed`, unless ``model.gpi.language_dim`` says otherwise."""

GROUPS = ("objective", "camera")

ConfigT = TypeVar("ConfigT", bound=LoopConfig)

_OBJECTIVES: Mapping[Target, tuple[str, ...]] = {"world_model": ("causal", "masked"), "gpi": ("goals",)}


def read_config(target: Target, overrides: Sequence[str]) -> TrainConfig:
    """The configuration of ``harness train TARGET key=value ...``.

    Raises:
        TrainingError: For anything that is wrong with it; names the key and the remedy.
    """
    config = read(TrainConfig, target, overrides, GROUPS)
    if config.objective.kind not in _OBJECTIVES[target]:
        raise TrainingError(
            f"objective.kind={config.objective.kind} is not for {target}; choose {' or '.join(_OBJECTIVES[target])}"
        )
    if target == "gpi" and config.init is None:
        raise TrainingError(
            "init has no value; give the checkpoint of a world model, for example init=runs/wm/checkpoint"
        )
    return config


def read(kind: type[ConfigT], target: str, overrides: Sequence[str], groups: Sequence[str]) -> ConfigT:
    """What ``configs/train/TARGET.yaml`` and overrides say, as a checked configuration.

    Raises:
        TrainingError: For anything that is wrong with it; names the key and the remedy.
    """
    for item in overrides:
        _check_override(target, item, groups)
    data = _composed(target, overrides, groups)
    data["data"]["sources"] = _listed(data["data"]["sources"])
    for key, remedy in (("out", f"out=runs/{target}"), ("data.sources", "data.sources=[runs/NAME]")):
        first, _, second = key.partition(".")
        if not (data[first][second] if second else data[first]):
            raise TrainingError(f"{key} has no value; give one, for example {remedy}")
    try:
        return TypeAdapter(kind).validate_python(data)
    except ValidationError as error:
        raise TrainingError(_first_problem(error)) from error


def model_config(config: TrainConfig, action_dim: int) -> ThinkJEPAConfig:
    """The configuration of a new model.

    Raises:
        TrainingError: ``model`` names a field that there is not, or values do not fit together.
    """
    language_dim = config.model.get("gpi", {}).get("language_dim", LANGUAGE_DIM)
    base = asdict(preset(config.preset, action_dim=action_dim, language_dim=language_dim))
    if config.camera is not None:
        base["world_model"]["encoder"]["crop"] = config.camera.crop
        base["world_model"]["predictor"]["action_points"] = [asdict(point) for point in config.camera.action_points()]
    return changed_model(base, config.model)


def changed_model(base: dict[str, Any], changes: Mapping[str, Any]) -> ThinkJEPAConfig:
    """A model's configuration (as plain data) with single fields changed.

    Raises:
        TrainingError: See `model_config`.
    """
    try:
        return TypeAdapter(ThinkJEPAConfig).validate_python(_merged(base, changes))
    except ValidationError as error:
        raise TrainingError(_first_problem(error, "model.")) from error


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        merged[key] = _merged(merged[key], value) if isinstance(value, dict) and key in merged else value
    return merged


def _check_override(target: str, override: str, groups: Sequence[str]) -> None:
    """Raise `TrainingError` for what Hydra would refuse in words of its own."""
    key, separator, value = override.partition("=")
    if not separator:
        raise TrainingError(f"cannot read the override {override!r}: write key=value")
    if key in groups:
        options = sorted(p.name.removesuffix(".yaml") for p in files("configs").joinpath("train", key).iterdir())
        if value not in options:
            raise TrainingError(f"{override}: there is no such {key}; choose one of {', '.join(options)}")
    first = key.split(".")[0].lstrip("+~")
    known = list(yaml.safe_load(files("configs").joinpath("train", f"{target}.yaml").read_text()))
    if first not in {*known, *groups}:
        raise TrainingError(f"unknown key {first}{_hint(first, [*known, *groups])}")


def _for_hydra(override: str) -> str:
    key, _, value = override.partition("=")
    if key in GROUPS:
        return f"train/{key}@{key}={value}"
    return f"++{override}" if key.startswith("model.") else override


def _listed(value: Any) -> list[Any]:
    return [value] if isinstance(value, str) else list(value or [])


def _composed(target: str, overrides: Sequence[str], groups: Sequence[str]) -> dict[str, Any]:
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module(version_base="1.3", config_module="configs"):
            composed = compose(f"train/{target}", overrides=[_for_hydra(item) for item in overrides])
        return dict(OmegaConf.to_container(composed, resolve=True))  # type: ignore[arg-type]
    except (HydraException, OmegaConfBaseException) as error:
        problem = str(error).splitlines()[0]  # what follows is advice about Hydra's own command line
        key = re.fullmatch(r"Could not override '(.+)'\.", problem)
        if key is None:
            raise TrainingError(problem) from error
        chosen = [item for item in overrides if item.partition("=")[0] in groups]
        known = _dotted(_composed(target, chosen, groups))
        raise TrainingError(f"unknown key {key[1]}{_hint(key[1], known)}") from error


def _dotted(data: Mapping[str, Any], prefix: str = "") -> list[str]:
    """All keys of nested data."""
    keys = []
    for key, value in data.items():
        keys += _dotted(value, f"{prefix}{key}.") if isinstance(value, Mapping) and value else [f"{prefix}{key}"]
    return keys


def _hint(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _first_problem(error: ValidationError, prefix: str = "") -> str:
    problem = error.errors()[0]
    words = [str(part) for part in problem["loc"] if part not in ("causal", "masked", "goals")]
    key = prefix + ".".join(words)
    if problem["type"] == "unexpected_keyword_argument":
        return f"unknown key {key}"
    given = problem["input"]
    shown = f"={given}" if isinstance(given, str | int | float | list | tuple | bool) else ""
    where = f"{key}{shown}: " if key else ""
    return where + problem["msg"].removeprefix("Value error, ")


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """``key: old -> new`` of everything that differs between two configurations."""
    found = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            found.append(f"{prefix}{key}: {before} -> {after}")
    return found
