"""The verb ``harness train``; light, so that other verbs do not wait for PyTorch."""

from __future__ import annotations

import argparse
from typing import Any

_EPILOG = """\
Keys of world_model and gpi are those of configs/train/{world_model,gpi}.yaml; single fields of the model are changed by
model.KEY=VALUE (agents/thinkjepa/config.py). The most important:
  out=FOLDER            of the run; the same command goes on from there after a kill or Ctrl-C
  data.sources=[...]    runs of `harness collect` or files of `harness pack`
  objective=NAME        world_model: causal (default), masked, seed; gpi: goals
  init=CHECKPOINT       what to start from; gpi needs the checkpoint of a world model
  init_gpi=CHECKPOINT   the Goal Projection Interface to start from, where it is in another one
  init_encoder=MODEL    the published V-JEPA 2 model (folder or hub id) whose encoder a new model starts from
  preset=NAME           tiny, small, paper or paper-l
  camera=NAME           tabletop, or none where it is not known where the camera sees actions
  steps=N batch=N seed=N optimiser.learning_rates.encoder=X device=cpu precision=float32

A reasoner has keys of its own, those of configs/train/reasoner.yaml:
  data.sources=[...]    folders of `harness plans`
  model=NAME            tiny, which is made here; or a folder or hub id, which gets a LoRA adapter (lora=null: none)
  sizes.KEY=VALUE       of tiny; data.told=SHARE data.described=SHARE checkpointing=true pieces=N

Several processes: torchrun --nproc-per-node 2 -m harness train ... (batch is that of all together).
FOLDER/metrics.jsonl and FOLDER/tensorboard hold the curves, FOLDER/checkpoint the model.
Exit status: 0 done, 2 bad configuration, 3 interrupted (resumable), 4 stopped: collapsed or not finite.

Examples:
  harness train world_model out=runs/masked objective=masked data.sources=[runs/play]
  harness train world_model out=runs/wm data.sources=[runs/play] init=runs/masked/checkpoint
  harness train gpi out=runs/gpi data.sources=[runs/play] init=runs/wm/checkpoint
  harness train reasoner out=runs/reasoner data.sources=[runs/plans]
"""


def add_train(verbs: Any) -> None:
    """Add ``harness train``; named by the entry point ``thinkjepa_harness.commands``."""
    parser = verbs.add_parser(
        "train",
        help="train the world model, the Goal Projection Interface or the reasoner; prints the checkpoint's folder",
        description="Train a part of ThinkJEPA; prints the checkpoint's folder.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("target", choices=("world_model", "gpi", "reasoner"), help="what to train")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="configuration, see below")
    parser.set_defaults(execute=_train)


def _train(arguments: argparse.Namespace) -> int:
    if arguments.target == "reasoner":
        from agents.reasoner.training import run as reasoner  # PyTorch takes seconds to import

        return reasoner.run(arguments.overrides)
    from agents.thinkjepa.training.run import run

    return run(arguments.target, arguments.overrides)
