"""From configuration to objects: import the ``_target_``, check every key and type against its signature, call it."""

from __future__ import annotations

import dataclasses
import difflib
import enum
import importlib
import inspect
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any, cast

from harness.interfaces import Agent, Benchmark


class ConfigError(Exception):
    """The configuration is wrong; the message names the key and the remedy."""


def did_you_mean(word: str, known: Iterable[str], prefix: str = "") -> str:
    """A hint ``; did you mean 'x'?`` where something known is spelled like ``word``, else all that is known.

    What all of them begin with goes into ``prefix``, since it would make any two of them alike.
    """
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{prefix}{close[0]}'?"
    return f"; known: {', '.join(prefix + name for name in known)}" if known else ""


def locate(target: str, key: str) -> Any:
    """The object that ``package.module.Name`` names.

    Raises:
        ConfigError: if it cannot be imported.
    """
    module_name, _, name = target.rpartition(".")
    if not module_name:
        raise ConfigError(f"{key}._target_={target!r} must look like package.module.Name")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigError(f"{key}._target_: cannot import {module_name!r} ({error}); is it installed?") from error
    if not hasattr(module, name):
        raise ConfigError(f"{key}._target_: {module_name} has no {name!r}{did_you_mean(name, vars(module))}")
    return getattr(module, name)


def default_arguments(target: Callable[..., Any]) -> dict[str, Any]:
    """The parameters that have defaults, and these."""
    return {name: p.default for name, p in parameters(target).items() if p.default is not p.empty}


def parameters(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The keyword parameters of a class or function, by name."""
    return {
        name: parameter
        for name, parameter in inspect.signature(target).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }


def checked_arguments(
    target: Callable[..., Any], values: Mapping[str, Any], key: str, given: Iterable[str] = ()
) -> dict[str, Any]:
    """``values`` converted to what the annotations of ``target`` ask for; parameters in ``given`` come from elsewhere.

    Raises:
        ConfigError: naming the key, for an unknown key, a wrong type or a missing value.
    """
    known = {name: p for name, p in parameters(target).items() if name not in given}
    unknown = [name for name in values if name not in known]
    if unknown:
        hint = did_you_mean(unknown[0], known, f"{key}.")
        raise ConfigError(f"unknown key {key}.{unknown[0]}{hint or f'; {key} has no parameters'}")
    missing = [n for n, p in known.items() if p.default is p.empty and n not in values]
    if missing:
        raise ConfigError(f"{key}.{missing[0]} has no value; give one, for example {key}.{missing[0]}=...")
    annotated = target.__init__ if inspect.isclass(target) and not dataclasses.is_dataclass(target) else target
    hints = typing.get_type_hints(annotated)
    return {name: convert(value, hints.get(name, Any), f"{key}.{name}") for name, value in values.items()}


def with_floats(target: Callable[..., Any], values: Mapping[str, Any], key: str) -> dict[str, Any]:
    """``values`` with whole numbers as floats where a parameter of ``target`` is one: ``2`` and ``2.0`` are the same.

    Raises:
        ConfigError: see `checked_arguments`.
    """
    checked = checked_arguments(target, values, key)
    return {name: checked[name] if type(checked[name]) is float else value for name, value in values.items()}


def convert(value: Any, annotation: Any, key: str) -> Any:
    """``value`` (plain YAML data) as an instance of ``annotation``; raises `ConfigError` where that is impossible."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is Any or annotation is inspect.Parameter.empty:
        return value
    if origin in (typing.Union, types.UnionType):
        return _convert_union(value, arguments, key)
    if origin is typing.Literal:
        if value not in arguments:
            raise ConfigError(
                f"{key}={value!r} is not one of {', '.join(map(str, arguments))}{_hint(value, arguments)}"
            )
        return value
    if origin is tuple or annotation is tuple:
        items = _listed(value, key)
        kinds = arguments if arguments and arguments[-1] is not Ellipsis else (*arguments, Any)[:1] * len(items)
        if len(kinds) != len(items):
            raise ConfigError(f"{key}={value!r} must have {len(kinds)} items, not {len(items)}")
        return tuple(convert(item, kind, key) for item, kind in zip(items, kinds, strict=True))
    if origin in (list, Sequence):
        return [convert(v, arguments[0] if arguments else Any, key) for v in _listed(value, key)]
    if origin in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{key}={value!r} must be a mapping")
        return {name: convert(v, arguments[1], f"{key}.{name}") for name, v in value.items()}
    if isinstance(annotation, type):
        return _convert_plain(value, annotation, key)
    raise ConfigError(f"{key}: the annotation {annotation} cannot be set from a configuration")


def _convert_union(value: Any, options: Sequence[Any], key: str) -> Any:
    if value is None and type(None) in options:
        return None
    errors = []
    for option in options:
        if option is type(None):
            continue
        try:
            return convert(value, option, key)
        except ConfigError as error:
            errors.append(str(error))
    raise ConfigError(errors[0])


def _convert_plain(value: Any, wanted: type, key: str) -> Any:
    if dataclasses.is_dataclass(wanted) and isinstance(value, Mapping):
        return call(wanted, value, key)
    if issubclass(wanted, enum.Enum):
        names = [str(member.value) for member in wanted]
        if str(value) not in names:
            raise ConfigError(f"{key}={value!r} is not one of {', '.join(names)}{_hint(value, names)}")
        return wanted(value)
    if issubclass(wanted, PurePath) and isinstance(value, str):
        return wanted(value)
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{key}={value} must be finite")
    if isinstance(value, wanted) and not (wanted is int and isinstance(value, bool)):
        return value
    raise ConfigError(f"{key}={value!r} must be {_NAMES.get(wanted, wanted.__name__)}, not {type(value).__name__}")


_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a string"}


def _listed(value: Any, key: str) -> Sequence[Any]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ConfigError(f"{key}={value!r} must be a list, for example {key}=[a,b]")
    return value


def _hint(value: Any, known: Iterable[Any]) -> str:
    close = difflib.get_close_matches(str(value), [str(k) for k in known], n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def call(target: Callable[..., Any], values: Mapping[str, Any], key: str, **given: Any) -> Any:
    """``target(**values, **given)``; ``values`` are checked, and a ``ValueError`` of the target is a `ConfigError`."""
    checked = checked_arguments(target, values, key, given)
    try:
        return target(**checked, **given)
    except ValueError as error:
        from pydantic import ValidationError  # takes a tenth of a second to import, and most targets do not use it

        if not isinstance(error, ValidationError):
            raise ConfigError(f"{key}: {error}") from error
        problem = error.errors()[0]
        name = ".".join([key, *map(str, problem["loc"])])
        raise ConfigError(f"{name}: {problem['msg'].removeprefix('Value error, ')}") from error


def build(config: Mapping[str, Any], key: str, reserved: Iterable[str] = (), **given: Any) -> Any:
    """The object that ``config`` (with ``_target_``) describes; ``reserved`` keys are the harness's own."""
    if not config.get("_target_"):
        raise ConfigError(f"{key}._target_ has no value; give one, for example {key}._target_=package.module.Name")
    target = locate(config["_target_"], key)
    values = {name: value for name, value in config.items() if name not in {"_target_", *reserved}}
    return call(target, values, key, **given)


def build_agent(config: Mapping[str, Any]) -> Agent:
    """The agent of a configuration ``{_target_, name, ...}``."""
    agent = build(config, "agent", reserved=("name",))
    if not isinstance(agent, Agent):
        raise ConfigError(f"agent._target_={config['_target_']} is not a harness.interfaces.Agent")
    return agent


def reads_truth(config: Mapping[str, Any]) -> bool:
    """Whether the agent of a configuration, or of an identity, reads ground truth; nothing is built."""
    target, settings = _agent_settings(config)
    return bool(target.reads_truth(settings))


def is_untrained(config: Mapping[str, Any]) -> bool:
    """Whether the weights of a configuration's agent have learned nothing; nothing is built."""
    target, settings = _agent_settings(config)
    return bool(target.untrained(settings))


def _agent_settings(config: Mapping[str, Any]) -> tuple[type[Agent], dict[str, Any]]:
    """The agent's class, and all of its parameters with their defaults."""
    target: type[Agent] = locate(config["_target_"], "agent")
    given = {name: value for name, value in config.items() if name not in ("_target_", "name")}
    return target, default_arguments(target) | given


def build_benchmark(benchmark: Mapping[str, Any], protocol: Mapping[str, Any]) -> Benchmark:
    """The benchmark of a configuration, with its protocol."""
    built = build(benchmark, "benchmark", reserved=("name", "default_protocol"), protocol=build(protocol, "protocol"))
    return cast(Benchmark, built)
