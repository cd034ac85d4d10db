import pytest
import torch

from agents.thinkjepa.training.loop import ExitCode
from tests.agents.thinkjepa.squares import CAMERA, write_dataset
from tests.agents.thinkjepa.trained import MODEL, QUICK, train


@pytest.fixture(autouse=True)
def _one_thread_and_a_seed():
    """Tiny tensors gain nothing from threads, and no test depends on the one before."""
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def squares(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("squares") / "dataset", episodes=250)


@pytest.fixture(scope="session")
def few_squares(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("few-squares") / "dataset", episodes=50)


@pytest.fixture(scope="session")
def overrides(few_squares):
    """Of a world model; a test adds ``out`` and what it is about."""
    return [f"data.sources=[{few_squares}]", "device=cpu", *CAMERA, *MODEL, *QUICK]


@pytest.fixture(scope="session")
def world_model(overrides, squares, tmp_path_factory):
    """A world model that has learnt a little."""
    out = tmp_path_factory.mktemp("runs") / "wm"
    torch.set_num_threads(1)
    given = [f"data.sources=[{squares}]", *overrides[1:], "steps=200", "every={log:25,save:200,health:200}"]
    ended = train("world_model", f"out={out}", *given)
    assert ended.code == ExitCode.COMPLETED
    return out
