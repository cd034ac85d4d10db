"""From the overrides of a sweep back to those of one of its runs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException

from harness.config import ABLATION, GROUPS, ConfigGroups, parsed_overrides
from harness.instantiate import ConfigError

_PLAIN = re.compile(r"(?!(null|true|false|nan|inf)$)[a-z][\w./:@-]*", re.IGNORECASE)
"""Texts that Hydra reads as they are."""


def overrides_of_run(
    overrides: Sequence[str], recorded: Mapping[str, Any], config_dir: Path | None = None
) -> list[str]:
    """The overrides of a sweep, with the value of one of its runs wherever several were given.

    Args:
        overrides: As they were given with ``-m``.
        recorded: The run's configuration, as it was composed.
        config_dir: A folder with further groups (``agent/mine.yaml``, ...), or ``None``.

    Raises:
        ConfigError: if that cannot be told, as where an option that was swept is not there any more.
    """
    groups = ConfigGroups(config_dir)
    parsed = parsed_overrides(overrides)
    alone = []
    for item, override in zip(overrides, parsed, strict=True):
        if not override.is_sweep_override():
            alone.append(item)
        elif override.key_or_group == ABLATION:
            alone.append(f"{ABLATION}={_row(groups, override, recorded)}")
        else:
            alone.append(f"{override.get_key_element()}={_spelled(_value(groups, override.key_or_group, recorded))}")
    return alone


def _value(groups: ConfigGroups, key: str, recorded: Mapping[str, Any]) -> Any:
    """What a configuration has for a key, or the option that it has of a group; ``None`` where it has nothing."""
    value: Any = recorded
    path = f"{key}.{'kind' if key == 'executor' else 'name'}" if key in GROUPS else key
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return groups.named(key, str(value)) if key in GROUPS else value


def _row(groups: ConfigGroups, sweep: Override, recorded: Mapping[str, Any]) -> str:
    """The ablation's row whose overrides a configuration has; where several fit, the one that says most."""
    fitting: dict[str, int] = {}
    try:
        for name in sweep.sweep_string_iterator():
            groups.check(ABLATION, name)
            own = parsed_overrides(groups.load(ABLATION, name)["run"])
            if all(item.value() == _value(groups, item.key_or_group, recorded) for item in own):
                fitting[name] = len(own)
    except HydraException as error:
        raise ConfigError(f"{sweep.input_line}: {error}") from error
    best = [name for name, count in fitting.items() if count == max(fitting.values())]
    if len(best) != 1:
        raise ConfigError(f"{sweep.input_line}: {len(best)} of these rows could have made the run")
    return best[0]


def _spelled(value: Any) -> str:
    """A value as Hydra reads it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) else QuotedString(value, Quote.single).with_quotes()
    if isinstance(value, list):
        return f"[{','.join(map(_spelled, value))}]"
    raise ConfigError(f"a {type(value).__name__} cannot be given on a command line")
