"""The slow half: what breaks an instruction down into sub-goals and says where each of them is (seed, section 4.4).

`protocol` is what agents see of it. `scripted` stands in for a perfect reasoner, `replay` repeats recorded answers, and
`vlm` asks a vision-language model, which `loading` loads and of which `tiny` makes a small one to be trained here. The
words that it is asked in are those of `prompt`; `preprocess` and `chat` make tokens of pictures and words, and
`attention` tells where it looks. `training` teaches and examines reasoners.

Importing this package imports no transformers; importing `vlm` does neither before a model is loaded.
"""

from agents.reasoner.protocol import Attempt, Reasoner, ReasonerError, SubGoal, UnreadableError
from agents.reasoner.replay import ReplayReasoner, record
from agents.reasoner.scripted import ScriptedReasoner

__all__ = [
    "Attempt",
    "Reasoner",
    "ReasonerError",
    "ReplayReasoner",
    "ScriptedReasoner",
    "SubGoal",
    "UnreadableError",
    "record",
]
