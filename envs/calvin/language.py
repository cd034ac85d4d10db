"""The instruction of each task: the one validation sentence that the public protocol evaluates with."""

from __future__ import annotations

from collections.abc import Mapping

from envs.calvin.tasks import TASKS

_SENTENCES = {
    "rotate_{colour}_block_{side}": "take the {colour} block and rotate it to the {side}",
    "push_{colour}_block_{side}": "go push the {colour} block {side}",
    "move_slider_{side}": "push the sliding door to the {side} side",
    "open_drawer": "pull the handle to open the drawer",
    "close_drawer": "push the handle to close the drawer",
    "lift_{colour}_block_table": "grasp and lift the {colour} block",
    "lift_{colour}_block_slider": "lift the {colour} block from the sliding cabinet",
    "lift_{colour}_block_drawer": "Take the {colour} block from the drawer",
    "place_in_slider": "store the grasped block in the sliding cabinet",
    "place_in_drawer": "store the grasped block in the drawer",
    "push_into_drawer": "slide the block that it falls into the drawer",
    "stack_block": "stack the grasped block",
    "unstack_block": "remove the stacked block",
    "turn_{state}_lightbulb": "use the switch to turn {state} the light bulb",
    "turn_{state}_led": "press the button to turn {state} the led light",
}


def _expand() -> dict[str, str]:
    sentences = {}
    for task, sentence in _SENTENCES.items():
        for colour in ("red", "blue", "pink"):
            for side in ("right", "left"):
                values = {"colour": colour, "side": side, "state": "on" if side == "right" else "off"}
                sentences[task.format(**values)] = sentence.format(**values)
    return {task: sentences[task] for task in TASKS}


INSTRUCTIONS: Mapping[str, str] = _expand()
"""Sentence by task; the odd capital in the drawer lifts is the protocol's own."""
