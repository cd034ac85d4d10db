"""From overrides on the command line to one checked configuration.

The schema is the dataclasses below (Hydra structured configs). The groups ``benchmark``, ``agent`` and ``protocol``
hold a ``_target_`` and its parameters, which are checked against the target's signature. Everything that is wrong is
a `ConfigError` that names the key and the remedy, raised before anything starts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from harness.instantiate import ConfigError, did_you_mean

GROUPS = ("benchmark", "agent", "protocol", "executor")
OPEN_GROUPS = ("benchmark", "agent", "protocol")
"""Groups whose keys are the parameters of a ``_target_``."""

ABLATION = "ablation"
"""Group of rows of an ablation table. An option's ``run`` is a list of overrides, ``train`` what has to be trained for
it, ``row`` its name."""


@dataclass
class ExecutorConfig:
    """Where episodes run.

    Attributes:
        kind: ``local`` or ``ray``.
        workers: Ray actors; each owns one agent.
        lanes: Environments per worker, served by batched calls of its agent.
        cpus_per_worker: CPU share that Ray reserves for a worker.
        gpus_per_worker: GPU share that Ray reserves for a worker.
    """

    kind: str = "local"
    workers: int = 1
    lanes: int = 1
    cpus_per_worker: float = 1.0
    gpus_per_worker: float = 0.0


@dataclass
class RayConfig:
    """The Ray cluster: ``address`` is null (start one here), ``auto`` or ``host:port`` (join one)."""

    address: str | None = None


@dataclass
class ErrorsConfig:
    """What errors lead to.

    Attributes:
        attempts: Tries per episode before its error is final.
        threshold: Share of episodes that may end in an error before the run counts as failed (exit status 4).
        stop_after: Give up after this many final errors in a row; 0 never does.
    """

    attempts: int = 3
    threshold: float = 0.02
    stop_after: int = 20


@dataclass
class DeadlinesConfig:
    """Seconds that a worker may spend in one phase before it is killed and replaced (``executor=ray``)."""

    agent_start: float = 900.0
    env_start: float = 300.0
    reset: float = 120.0
    step: float = 120.0
    render: float = 60.0
    agent_reset: float = 600.0
    agent_act: float = 600.0


@dataclass
class DatasetConfig:
    """What ``harness collect`` records.

    Attributes:
        enabled: Whether the run collects training data; set by the verb.
        record: Observations; all that the environment makes unless given.
        images: ``png`` (lossless) or ``jpeg``, for RGB pictures.
        image_size: Side in pixels of recorded RGB pictures; as they are observed unless given.
    """

    enabled: bool = False
    record: list[str] | None = None
    images: str = "png"
    image_size: int | None = None


@dataclass
class RunConfig:
    """A run.

    Attributes:
        benchmark: ``_target_`` and parameters of a `harness.interfaces.Benchmark`.
        agent: ``_target_`` and parameters of a `harness.interfaces.Agent`.
        protocol: ``_target_`` and fields of the benchmark's protocol, with ``name`` and ``version``.
        executor: Where episodes run.
        ray: The Ray cluster.
        errors: What errors lead to.
        deadlines: Limits per phase.
        seed: Of everything that an agent draws.
        repeats: How often each episode is run, with different draws of the agent.
        limit: Only the first so many episodes; marks the run non-standard.
        run_dir: Where results go; ``runs/<time>-<benchmark>-<agent>-s<seed>`` unless given.
        video: ``none``, ``all``, ``failures`` or ``first:N``.
        dataset: What ``harness collect`` records.
    """

    benchmark: dict[str, Any] = field(default_factory=dict)
    agent: dict[str, Any] = field(default_factory=dict)
    protocol: dict[str, Any] = field(default_factory=dict)
    executor: ExecutorConfig = field(default_factory=ExecutorConfig)
    ray: RayConfig = field(default_factory=RayConfig)
    errors: ErrorsConfig = field(default_factory=ErrorsConfig)
    deadlines: DeadlinesConfig = field(default_factory=DeadlinesConfig)
    seed: int = 0
    repeats: int = 1
    limit: int | None = None
    run_dir: str | None = None
    video: str = "none"
    dataset: DatasetConfig = field(default_factory=DatasetConfig)


@dataclass(frozen=True)
class Composed:
    """A configuration and where its protocol departs from the named one.

    Attributes:
        config: The whole configuration.
        protocol_changes: ``key: standard -> used`` of every protocol field that was overridden.
        training: The commands that make the agent's checkpoint, where a row of the ablation table names one.
    """

    config: RunConfig
    protocol_changes: tuple[str, ...]
    training: tuple[str, ...] = ()


def compose_runs(overrides: Sequence[str], *, multirun: bool = False, config_dir: Path | None = None) -> list[Composed]:
    """One configuration per point of the sweep (one in all without ``multirun``).

    Args:
        overrides: Hydra overrides, such as ``agent=expert`` or ``executor.workers=2``; ``ablation=NAME`` stands for
            those of a row, which the others may not contradict.
        multirun: Whether ``key=a,b`` sweeps.
        config_dir: A folder with further groups (``agent/mine.yaml``, ...), searched beside the project's own.

    Raises:
        ConfigError: for anything that is wrong with them.
    """
    groups = ConfigGroups(config_dir)
    return [_compose_one(groups, *_with_ablation(groups, point)) for point in _points(overrides, multirun)]


def ablation_training(option: Mapping[str, Any]) -> tuple[str, ...]:
    """The commands that make the checkpoint which a row of the ablation table names; none where it names none."""
    return tuple(option["train"]) if any(item.startswith("agent.checkpoint=") for item in option["run"]) else ()


class ConfigGroups:
    """The project's configuration groups, and those of the user's own folder beside them.

    Args:
        config_dir: A folder with further groups (``agent/mine.yaml``, ...), or ``None``.

    Raises:
        ConfigError: if there is no such folder.
    """

    def __init__(self, config_dir: Path | None = None) -> None:
        if config_dir is not None and not config_dir.is_dir():
            raise ConfigError(f"--config-dir {config_dir}: no such folder")
        self._own = config_dir
        self._search = [f"hydra.searchpath=[file://{config_dir.resolve()}]"] if config_dir else []

    def options(self, group: str) -> list[str]:
        """The names that ``group=`` accepts."""
        folders = [files("configs").joinpath(group), *([self._own / group] if self._own else [])]
        found = [entry.name for folder in folders if folder.is_dir() for entry in folder.iterdir()]
        return sorted({name.removesuffix(".yaml") for name in found if name.endswith(".yaml")})

    def check(self, group: str, name: str) -> None:
        """Raise `ConfigError` if ``group`` has no option ``name``."""
        if name not in self.options(group):
            raise ConfigError(f"{group}={name}: there is no such {group}{did_you_mean(name, self.options(group))}")

    def named(self, group: str, name: str) -> str:
        """The option that calls itself ``name``, as runs record it; mostly that is the name of its file as well.

        Raises:
            ConfigError: if there is none.
        """
        options = self.options(group)
        own = (option for option in options if name not in options and self.load(group, option).get("name") == name)
        option = next(own, name)
        self.check(group, option)
        return option

    def load(self, group: str, name: str) -> dict[str, Any]:
        """One option of a group, as plain data."""
        if self._own is not None and (self._own / group / f"{name}.yaml").is_file():
            return self._load(group, name)
        return deepcopy(_projects_own(group, name))

    def _load(self, group: str, name: str) -> dict[str, Any]:
        loaded: Any = OmegaConf.to_container(self.compose("empty", [f"+{group}={name}"]), resolve=True)
        return dict(loaded[group])

    def compose(self, config_name: str, overrides: list[str]) -> DictConfig:
        """Hydra's composition; raises `ConfigError` where Hydra finds something wrong."""
        ConfigStore.instance().store(name="run_schema", node=RunConfig)
        GlobalHydra.instance().clear()
        try:
            with initialize_config_module(version_base="1.3", config_module="configs"):
                return compose(config_name, overrides=[*self._search, *overrides])
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(_readable(error)) from error


@cache
def _projects_own(group: str, name: str) -> dict[str, Any]:
    """An option of the project; reports look at many of them, and Hydra takes long over each."""
    return ConfigGroups()._load(group, name)


_ONLY_OF_RAY: dict[str, Any] = {
    "executor": {"gpus_per_worker": ExecutorConfig().gpus_per_worker},
    "ray": vars(RayConfig()),
    "deadlines": vars(DeadlinesConfig()),
}
"""What a run that goes on without Ray no longer has."""


def override_recorded(recorded: dict[str, Any], overrides: Sequence[str]) -> RunConfig:
    """The configuration of an existing run with a few keys changed.

    Raises:
        ConfigError: for an unknown key, a wrong value, or a group that cannot be exchanged in an existing run.
    """
    choices: list[Any] = []
    values: list[Any] = []  # they count wherever they stand, so choices of groups come first
    for item in overrides:
        key, separator, value = item.partition("=")
        if not separator:
            raise ConfigError(f"cannot read the override {item!r}: write key=value")
        if key == "run_dir":
            raise ConfigError(f"{item}: a run stays where it is; move its folder instead")
        if key == "executor":
            groups = ConfigGroups()
            groups.check(key, value)
            chosen = groups.load(key, value)
            if chosen.get("kind") == "local":
                choices.append(_ONLY_OF_RAY)
            choices.append({key: chosen})
        elif key in GROUPS:
            raise ConfigError(f"{item}: another {key} makes another run; use `harness run`")
        elif key.split(".")[0] in OPEN_GROUPS or key in set(_dotted_keys(RunConfig)):
            values.append(OmegaConf.to_container(OmegaConf.from_dotlist([item])))
        else:
            raise ConfigError(f"unknown key {key}{did_you_mean(key, _dotted_keys(RunConfig))}")
    try:
        merged = _run_config(OmegaConf.merge(OmegaConf.structured(RunConfig), recorded, *choices, *values))
    except OmegaConfBaseException as error:
        raise ConfigError(_readable(error)) from error
    _check_values(merged)
    return merged


def protocol_changes(standard: Mapping[str, Any], used: Mapping[str, Any]) -> tuple[str, ...]:
    """``key: standard -> used`` of every field in which a protocol departs from the one that it is named after."""
    return tuple(
        f"protocol.{key}: {standard.get(key, '(default)')} -> {value}"
        for key, value in used.items()
        if standard.get(key, "(default)") != value
    )


def parse_video(value: str) -> tuple[str, int]:
    """``(mode, count)`` of the key ``video``: ``first:3`` is ``("first", 3)``."""
    match = re.fullmatch(r"(none|all|failures)|first:([1-9]\d*)", value)
    if match is None:
        raise ConfigError(f"video={value!r} is not one of none, all, failures, first:N (for example video=first:3)")
    return (match[1], 0) if match[1] else ("first", int(match[2]))


def parsed_overrides(overrides: Sequence[str]) -> list[Override]:
    """What Hydra makes of overrides; raises `ConfigError` for one that it cannot read."""
    try:
        return OverridesParser.create().parse_overrides(list(overrides))
    except OverrideParseException as error:
        raise ConfigError(
            f"cannot read the override {error.override!r}: write key=value, and quote values with brackets, commas or "
            f"other special characters twice: \"key='value'\""
        ) from error


def _points(overrides: Sequence[str], multirun: bool) -> Iterator[list[str]]:
    choices: list[list[str]] = []
    for override in parsed_overrides(overrides):
        _check_key(override)
        if not override.is_sweep_override():
            choices.append([_forced(override, override.get_value_element_as_str())])
        elif multirun:
            choices.append([_forced(override, value) for value in override.sweep_string_iterator()])
        else:
            raise ConfigError(f"{override.input_line} names several values; add -m to run them all, or quote the value")
    for point in product(*choices):
        yield list(point)


def _with_ablation(groups: ConfigGroups, overrides: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """The overrides with those of the row that ``ablation=`` names, and the training that the row needs.

    Raises:
        ConfigError: One of them contradicts the row, which would then be another agent than its name says.
    """
    rest = [item for item in overrides if _key(item) != ABLATION]
    named = [item.partition("=")[2] for item in overrides if _key(item) == ABLATION]
    if not named:
        return rest, ()
    if len(set(named)) > 1:
        raise ConfigError(
            f"{ABLATION}={' and '.join(named)}: an agent is one row; name one, or run them all with "
            f"-m {ABLATION}={','.join(named)}"
        )
    name = named[-1]
    groups.check(ABLATION, name)
    option = groups.load(ABLATION, name)
    (row,) = _points(option["run"], multirun=False)
    for own, given in product(row, rest):
        if _contradict(own, given):
            raise ConfigError(
                f"{given.lstrip('+')}: the row ablation={name} sets {own.lstrip('+')}; leave {_key(given)} away, or "
                f"leave ablation= away and give what configs/ablation/{name}.yaml lists under `run`, with your value"
            )
    return [*row, *(item for item in rest if _key(item) not in map(_key, row))], ablation_training(option)


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+")


def _contradict(one: str, other: str) -> bool:
    """Whether two overrides give one key different values, or a parameter and another one inside it."""
    outer, inner = sorted((_key(one), _key(other)), key=len)
    if outer == inner:
        first, second = (override.value() for override in parsed_overrides([one, other]))
        return bool(first != second)
    return outer not in GROUPS and inner.startswith(f"{outer}.")


def _forced(override: Override, value: str) -> str:
    """The override as Hydra gets it: parameters of a target may be absent from its file, the signature knows better."""
    key = override.get_key_element().lstrip("+~")
    is_parameter = any(key.startswith(f"{group}.") for group in OPEN_GROUPS)
    return f"{'++' if is_parameter else ''}{key}={value}"


def _check_key(override: Override) -> None:
    key = override.key_or_group
    if override.is_delete():
        raise ConfigError(f"{override.input_line}: keys cannot be deleted; leave it away for the default")
    known = set(_dotted_keys(RunConfig)) | {*GROUPS, ABLATION}
    if key in ("agent.name", "benchmark.name"):
        raise ConfigError(f"{key} is the name of the option that {key.split('.')[0]}= chose; it cannot be set")
    if key in known or key.split(".")[0] in OPEN_GROUPS:
        return
    raise ConfigError(f"unknown key {key}{did_you_mean(key, known)}")


def _dotted_keys(schema: Any, prefix: str = "") -> Iterator[str]:
    for item in fields(schema):
        nested: Any = item.default_factory
        if isinstance(nested, type) and is_dataclass(nested):
            yield from _dotted_keys(nested, f"{prefix}{item.name}.")
        else:
            yield prefix + item.name


def _compose_one(groups: ConfigGroups, overrides: list[str], training: tuple[str, ...]) -> Composed:
    pairs = [item.partition("=")[::2] for item in overrides]
    choices = {"benchmark": "thinkbench"} | {key: value for key, value in pairs if key in GROUPS}
    protocol, _, version = choices.pop("protocol", "").partition("@")
    for group, name in choices.items():
        groups.check(group, name)
    if "agent" not in choices:
        raise ConfigError(f"no agent given; add agent=NAME with one of: {', '.join(groups.options('agent'))}")
    protocol = protocol or groups.load("benchmark", choices["benchmark"])["default_protocol"]
    groups.check("protocol", protocol)
    rest = [item for item in overrides if not item.startswith("protocol=")]
    config = _composed(groups, [*rest, f"protocol={protocol}"])
    if version and str(config.protocol["version"]) != version:
        raise ConfigError(
            f"protocol={protocol}@{version}: this harness has {protocol}@{config.protocol['version']}; install the "
            f"version of the harness that has it, or use the current one"
        )
    changes = protocol_changes(groups.load("protocol", protocol), config.protocol)
    config.benchmark["name"] = choices["benchmark"]
    config.agent["name"] = choices["agent"]
    _check_values(config)
    return Composed(config, changes, training)


def _composed(groups: ConfigGroups, overrides: list[str]) -> RunConfig:
    composed = groups.compose("run", overrides)
    try:
        return _run_config(composed)
    except OmegaConfBaseException as error:
        raise ConfigError(_readable(error)) from error


def _run_config(data: Any) -> RunConfig:
    config = OmegaConf.to_object(data)
    if not isinstance(config, RunConfig):
        raise TypeError(f"composed a {type(config).__name__}")
    return config


def _readable(error: BaseException) -> str:
    """The innermost reason of a Hydra error, in one line with its key."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    key = getattr(cause, "full_key", None)
    message = str(cause).split("\n")[0]
    return f"{key}: {message}" if key else message


def _check_finite(config: RunConfig) -> None:
    """Neither Ray nor the run store can do with infinities and NaN, which no comparison with a bound finds."""
    for group in ("executor", "deadlines"):
        for name, value in vars(getattr(config, group)).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(
                    f"{group}.{name}={value} must be finite; give another number, or leave it away for the default"
                )


def _check_values(config: RunConfig) -> None:
    executor = config.executor
    if executor.kind not in ("local", "ray"):
        raise ConfigError(f"executor.kind={executor.kind!r} is not one of local, ray")
    if executor.kind == "local" and executor.workers != 1:
        raise ConfigError(f"executor.workers={executor.workers}: executor=local has one worker; use executor=ray")
    _check_finite(config)
    at_least = {
        "executor.workers": (executor.workers, 1),
        "executor.lanes": (executor.lanes, 1),
        "executor.cpus_per_worker": (executor.cpus_per_worker, 0),
        "executor.gpus_per_worker": (executor.gpus_per_worker, 0),
        "repeats": (config.repeats, 1),
        "seed": (config.seed, 0),
        "errors.attempts": (config.errors.attempts, 1),
        "errors.stop_after": (config.errors.stop_after, 0),
        **({} if config.limit is None else {"limit": (config.limit, 1)}),
    }
    for key, (value, low) in at_least.items():
        if value < low:
            raise ConfigError(f"{key}={value} is too small; it must be at least {low}")
    if not 0 <= config.errors.threshold <= 1:
        raise ConfigError(f"errors.threshold={config.errors.threshold} must be a share between 0 and 1")
    for item in fields(config.deadlines):
        if getattr(config.deadlines, item.name) <= 0:
            raise ConfigError(f"deadlines.{item.name} must be a positive number of seconds")
    if executor.kind == "local":  # see _ONLY_OF_RAY
        useless = {
            "executor.gpus_per_worker": executor.gpus_per_worker > 0,
            "ray.address": config.ray.address is not None,
            "deadlines": config.deadlines != DeadlinesConfig(),
        }
        for key in (key for key, is_set in useless.items() if is_set):
            raise ConfigError(f"{key} has no effect with executor=local; use executor=ray or leave it away")
    parse_video(config.video)
    if config.dataset.images not in ("png", "jpeg"):
        raise ConfigError(f"dataset.images={config.dataset.images!r} is not one of png, jpeg")
    if config.dataset.image_size is not None and config.dataset.image_size < 1:
        raise ConfigError(f"dataset.image_size={config.dataset.image_size}: must be at least 1 pixel")
    benchmark = config.protocol.get("benchmark", config.benchmark["name"])
    if benchmark != config.benchmark["name"]:
        raise ConfigError(
            f"protocol={config.protocol['name']} is for benchmark={benchmark}, not {config.benchmark['name']}; "
            f"leave protocol= away for the default one"
        )
