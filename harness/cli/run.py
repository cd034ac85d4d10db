"""``harness run``, ``plan`` and ``resume``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from harness.cli.options import verb
from harness.config import Composed, compose_runs, override_recorded, parse_video
from harness.estimate import estimate
from harness.instantiate import ConfigError
from harness.runs import (
    ExitCode,
    PreparedRun,
    check_resumable,
    check_run_dir,
    default_run_dir,
    prepare,
    recorded_config,
    recorded_episodes,
    resume,
    start,
)

OVERRIDES_HELP = """\
Common keys (Hydra overrides):
  benchmark=NAME agent=NAME protocol=NAME   see `harness list`
  executor=local|ray executor.workers=N executor.lanes=N ray.address=auto
  seed=N repeats=N limit=N                  limit takes a prefix and marks the run non-standard
  run_dir=DIR video=none|all|failures|first:N
  agent.PARAMETER=VALUE                     a parameter of the agent's class
"""


def add(verbs: Any) -> None:
    """Add the three verbs."""
    run = verb(
        verbs,
        "run",
        _run,
        "run an evaluation; prints the run directory on its last line",
        OVERRIDES_HELP
        + """
Examples:
  harness run benchmark=thinkbench agent=expert
  harness run agent=random limit=12 executor=ray executor.workers=2 video=first:3
  harness run -m agent=expert,random seed=0,1         every combination, one run each
  harness run agent=custom agent._target_=my_module.MyAgent

Exit status: 0 completed, 2 bad configuration, 3 interrupted (`harness resume RUN` goes on),
4 more errors than errors.threshold allows.
""",
    )
    plan = verb(
        verbs,
        "plan",
        _plan,
        "dry run: the resolved configuration, the number of episodes, estimated time and disk",
        OVERRIDES_HELP,
    )
    for parser in (run, plan):
        parser.add_argument("overrides", nargs="*", metavar="key=value", help="configuration, see below")
        parser.add_argument("-m", "--multirun", action="store_true", help="let key=a,b sweep over several values")
        parser.add_argument("--config-dir", type=Path, help="folder with further groups, such as agent/mine.yaml")
    resumed = verb(
        verbs,
        "resume",
        _resume,
        "run what is missing of an interrupted run",
        """\
Only what no result depends on may change: executor=, executor.*, ray.*, errors.*, deadlines.*, video=.
A run whose protocol, agent, checkpoint or assets are no longer the same is refused, with the differences.

Example:
  harness resume runs/20260101-120000-thinkbench-expert-s0 executor=ray executor.workers=2
""",
    )
    resumed.add_argument("run", type=Path, metavar="RUN", help="a run directory")
    resumed.add_argument("overrides", nargs="*", metavar="key=value", help="what to change, see below")


def _run(arguments: argparse.Namespace) -> int:
    if any(override.startswith("dataset.") for override in arguments.overrides):
        raise ConfigError("dataset.* is for recording training data; use `harness collect`")
    return run_all(arguments.overrides, multirun=arguments.multirun, config_dir=arguments.config_dir)


def run_all(
    overrides: Sequence[str],
    *,
    multirun: bool,
    config_dir: Path | None,
    finished: Callable[[Path], None] | None = None,
) -> int:
    """Run all points of a sweep after checking each; prints the run directories and returns the worst exit status."""
    prepared = _prepared(overrides, multirun, config_dir)
    folders = _run_dirs(prepared)
    for folder in folders:
        check_run_dir(folder)
    codes = []
    for run, folder in zip(prepared, folders, strict=True):
        try:
            code = start(run, folder)
            if finished is not None:
                finished(folder)
        finally:
            if folder.exists():  # not where no agent could be built
                print(folder)
        codes.append(code)
        if code is ExitCode.INTERRUPTED:
            break
    return max(codes)


def _prepared(overrides: Sequence[str], multirun: bool, config_dir: Path | None) -> list[PreparedRun]:
    """All points of the sweep, each checked, before the first one starts."""
    return [prepare(composed) for composed in compose_runs(overrides, multirun=multirun, config_dir=config_dir)]


def _run_dirs(prepared: list[PreparedRun]) -> list[Path]:
    """One new folder per run; a sweep with ``run_dir=`` gets one below it per point."""
    folders: list[Path] = []
    swept = _swept_fields([run.config.protocol for run in prepared])
    for run in prepared:
        config = run.config
        if config.run_dir is None:
            folder = default_run_dir(config, taken=folders)
        elif len(prepared) == 1:
            folder = Path(config.run_dir)
        else:
            stem = f"{config.benchmark['name']}-{config.protocol['name']}-{config.agent['name']}-s{config.seed}"
            folder = Path(config.run_dir) / "-".join([stem, *(str(config.protocol[key]) for key in swept)])
            if folder in folders:
                folder = folder.with_name(f"{folder.name}-{len(folders)}")
        folders.append(folder)
    return folders


def _swept_fields(protocols: list[dict[str, Any]]) -> list[str]:
    """Fields, such as the scene, in which runs of one protocol differ; none if there are several protocols."""
    if len({protocol["name"] for protocol in protocols}) > 1:
        return []
    values = {key: {str(protocol.get(key)) for protocol in protocols} for key in protocols[0]}
    return [key for key, used in values.items() if len(used) > 1 and all(value.isalnum() for value in used)]


def _plan(arguments: argparse.Namespace) -> int:
    for prepared in _prepared(arguments.overrides, arguments.multirun, arguments.config_dir):
        identity = prepared.identity
        config = vars(prepared.config) | {
            key: vars(getattr(prepared.config, key)) for key in ("executor", "ray", "errors", "deadlines", "dataset")
        }
        print(yaml.safe_dump(config, sort_keys=False).rstrip())
        print(f"# protocol   {identity.protocol_id}, hash {identity.protocol_hash}")
        print(f"# standard   {'yes' if not prepared.deviations else 'no: ' + '; '.join(prepared.deviations)}")
        print(f"# agent      {identity.agent['name']}{' (privileged)' if prepared.privileged else ''}")
        print(f"# run key    {identity.run_key}")
        print(f"# episodes   {len(prepared.plan)}")
        videos = parse_video(prepared.config.video)[0] != "none"
        print(f"# estimate   {estimate(identity, len(prepared.plan), prepared.config.executor.workers, videos)}")
    return ExitCode.COMPLETED


def _resume(arguments: argparse.Namespace) -> int:
    config = override_recorded(recorded_config(arguments.run), arguments.overrides)
    if config.run_dir is not None and Path(config.run_dir) != arguments.run:
        config.run_dir = str(arguments.run)
    try:
        prepared = prepare(Composed(config, ()), recorded_episodes(arguments.run))
    except ConfigError as error:
        raise ConfigError(f"{arguments.run} cannot be resumed: {error}") from error
    check_resumable(arguments.run, prepared)
    code = resume(arguments.run, prepared)
    print(arguments.run)
    return code
