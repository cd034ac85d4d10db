"""The verb ``harness answer``; light, so that other verbs do not wait for PyTorch."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

_BAD_ARGUMENTS = 2
_EPILOG = """\
Then `harness check-plans PLANS ANSWERS` judges the answers.

Examples:
  harness answer runs/exam --model runs/reasoner/checkpoint -o answers.json
  harness answer runs/plans --split held_out --limit 50 --model HuggingFaceTB/SmolVLM-256M-Instruct -o answers.json
  harness answer runs/exam --model BASE --lora runs/adapter/checkpoint --layers middle -o answers.json
  harness answer runs/exam --model BASE --world tiny-tabletop -o answers.json --replay record.json
  harness answer runs/exam --record record.json -o answers.json
"""


def add_answer(verbs: Any) -> None:
    """Add ``harness answer``; named by the entry point ``thinkjepa_harness.commands``."""
    parser = verbs.add_parser(
        "answer",
        help="ask a reasoner the questions of a set of plans, and write down what it answers",
        description="Ask a reasoner the questions of a set of plans, and write down what it answers.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("plans", type=Path, metavar="PLANS", help="a folder of `harness plans`")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="answers (JSON); those it holds already stay"
    )
    parser.add_argument(
        "--replay",
        type=Path,
        metavar="FILE",
        help="also write a record for agents (agent.reasoner=replay)",
    )
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--model", metavar="NAME", help="folder or hub id of a vision-language model")
    who.add_argument("--record", type=Path, metavar="FILE", help="recorded answers (agents/reasoner/replay.py)")
    parser.add_argument("--revision", metavar="NAME", help="commit, tag or branch of a --model of the hub")
    parser.add_argument("--lora", type=Path, metavar="DIR", help="an adapter for --model")
    parser.add_argument("--layers", choices=("last", "middle"), help="whose attention is taken (default: last)")
    parser.add_argument("--sinks", choices=("none", "neutral"), help="see agents/reasoner/loading.py (default: none)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), help="default: auto")
    parser.add_argument("--max-new-tokens", type=int, metavar="N", help="of an answer (default: 512)")
    parser.add_argument("--world", metavar="NAME", help="world model whose grid attention is over (default: 14 x 14)")
    parser.add_argument(
        "--split", choices=("train", "held_out", "unseen", "evaluation"), help="questions of one split (default: all)"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only N questions, evenly spread over the set")
    parser.set_defaults(execute=_answer)


def _answer(arguments: argparse.Namespace) -> int:
    from agents.reasoner.training.answering import answer_all  # PyTorch takes seconds to import

    try:
        answer_all(arguments)
    except ValueError as error:
        sys.stderr.write(f"error: {error}\n")
        return _BAD_ARGUMENTS
    return 0
