"""How fast the planner is on one CPU thread, and where its time goes.

CPU times of this process, medians of several runs. Where stable-worldmodel is installed, its ``CEMSolver`` plans in the
same model, from the same states, with the same number of candidates, turn by turn with ours. It is no dependency of the
project; version 0.1.1 without its own dependencies needs lancedb, pylance, opencv-python-headless, loguru, einops and
overrides.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import json
import statistics
import sys
import time
import types
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn

from agents.thinkjepa.distances import Objective
from agents.thinkjepa.planner.config import PlannerConfig
from agents.thinkjepa.planner.latent import LatentPlanner
from agents.thinkjepa.planner.sampling import draw_noise
from agents.thinkjepa.planner.shooting import ActionBox, plan
from agents.thinkjepa.presets import preset
from agents.thinkjepa.world_model import WorldModel

ACTION_DIM = 6
LANES = (1, 4)
REPEATS = 5
# Without kept elites, as the other planner has none. Both score as many new candidates either way.
CONFIG = PlannerConfig(population=128, horizon=2, iterations=2, keep_elites=0)
LOW, HIGH = -np.ones(ACTION_DIM), np.ones(ACTION_DIM)


def cpu_seconds(call: Callable[[], object]) -> float:
    """CPU time of one call."""
    start = time.process_time()
    call()
    return time.process_time() - start


def median_seconds(call: Callable[[], object]) -> float:
    """Median CPU time of a call; one unmeasured call warms up."""
    call()
    return statistics.median(cpu_seconds(call) for _ in range(REPEATS))


def tiny_model() -> WorldModel:
    """The world model of preset ``tiny`` with random weights, none of them zero."""
    torch.manual_seed(0)
    model = WorldModel(preset("tiny", action_dim=ACTION_DIM, language_dim=64).world_model)
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.02)
    return model.eval()


def breakdown(model: WorldModel, lanes: int) -> dict[str, float]:
    """Milliseconds of one decision: encode, roll out, score, and the search around them; decisions per second."""
    size = model.config.encoder.image_size
    frames = torch.rand(lanes, 1, 3, size, size)
    state, goal = model.encode(frames)[:, 0], model.encode(frames.flip(-1))[:, 0]
    planner = LatentPlanner(model, CONFIG, low=LOW, high=HIGH)
    seeds = list(range(lanes))
    box, objective = ActionBox(LOW, HIGH), Objective()
    reached = torch.rand(CONFIG.population, *state.shape[1:])
    encode = median_seconds(lambda: model.encode(frames))
    planned = median_seconds(lambda: planner.plan(state, goal, seeds))
    search = median_seconds(
        lambda: plan(lambda candidates: candidates[..., 0, 0], CONFIG, box, draw_noise(CONFIG, ACTION_DIM, seeds))
    )
    score = lanes * CONFIG.iterations * median_seconds(lambda: objective(reached, goal[:1]))
    return {
        "encode_ms": 1e3 * encode,
        "rollout_ms": 1e3 * (planned - search - score),
        "score_ms": 1e3 * score,
        "search_ms": 1e3 * search,
        "plan_ms": 1e3 * planned,
        "plans_per_cpu_second": lanes / (encode + planned),
    }


# -------------------------------------------------------------------------------------- stable-worldmodel


def cem_solver() -> type[Any] | None:
    """Stable-worldmodel's ``CEMSolver``; ``None`` where the package is not installed."""
    if importlib.util.find_spec("stable_worldmodel") is None:
        return None
    with _without_torchvision():
        solver: type[Any] = importlib.import_module("stable_worldmodel.solver").CEMSolver
    return solver


@contextlib.contextmanager
def _without_torchvision() -> Iterator[None]:
    """Its policies import torchvision, which no solver uses: an empty module takes its place where it is missing."""
    names = ("torchvision", "torchvision.tv_tensors")
    if importlib.util.find_spec("torchvision") is not None:
        yield
        return
    for name in names:
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__spec__ = ModuleSpec(name, None)
    sys.modules["torchvision"].tv_tensors = sys.modules["torchvision.tv_tensors"]  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


def solve(solver_class: type[Any], model: WorldModel, state: Tensor, goal: Tensor) -> Tensor:
    """What the solver plans on every lane: ``(E, H, A)``."""
    solver = solver_class(model, num_samples=CONFIG.population, n_steps=CONFIG.iterations, topk=CONFIG.elites)
    lanes = len(state)
    settings = types.SimpleNamespace(horizon=CONFIG.horizon, action_block=1)
    space = gym.spaces.Box(np.tile(LOW, (lanes, 1)), np.tile(HIGH, (lanes, 1)), dtype=np.float64)
    solver.configure(action_space=space, n_envs=lanes, config=settings)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its times
        actions: Tensor = solver.solve({"state": state, "goal": goal})["actions"]
    return actions


def compare(solver_class: type[Any], model: WorldModel, lanes: int) -> dict[str, float]:
    """Plans per CPU second, measured in turn, and median ratios to the other planner (above 1: ours is faster).

    Ours is measured as it is and with its roll-outs compiled (``compile=true``); the other one does not compile.
    """
    state, goal = model.normalise(torch.randn(2, lanes, model.config.tokens, model.config.encoder.width))
    planner, compiled = (LatentPlanner(model, CONFIG, low=LOW, high=HIGH, compile=how) for how in (False, True))
    calls = (
        lambda: planner.plan(state, goal, list(range(lanes))),
        lambda: compiled.plan(state, goal, list(range(lanes))),
        lambda: solve(solver_class, model, state, goal),
    )
    for call in calls:
        call()
    times = [[cpu_seconds(call) for call in calls] for _ in range(REPEATS)]
    eager, fast, theirs = (statistics.median(column) for column in zip(*times, strict=True))
    return {
        "plans_per_cpu_second": lanes / eager,
        "compiled_plans_per_cpu_second": lanes / fast,
        "cem_solver_plans_per_cpu_second": lanes / theirs,
        "ratio": statistics.median(theirs / eager for eager, _, theirs in times),
        "compiled_ratio": statistics.median(theirs / fast for _, fast, theirs in times),
    }


def measure(dtype: torch.dtype) -> dict[str, Any]:
    """All numbers of one precision of the weights."""
    model = tiny_model().cast_weights(dtype)
    solver_class = cem_solver()
    return {
        "lanes": {lanes: breakdown(model, lanes) for lanes in LANES},
        "stable_worldmodel": None if solver_class is None else version("stable-worldmodel"),
        "against_stable_worldmodel": "not installed"
        if solver_class is None
        else {lanes: compare(solver_class, model, lanes) for lanes in LANES},
    }


def main() -> dict[str, Any]:
    """Measure everything and print it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        numbers: dict[str, Any] = {
            "model": "preset tiny, random weights",
            "candidates_iterations_horizon": [CONFIG.population, CONFIG.iterations, CONFIG.horizon],
            "cpu": torch.backends.cpu.get_cpu_capability(),
            "float32": measure(torch.float32),
            "bfloat16": measure(torch.bfloat16),
        }
    torch.set_num_threads(threads)
    print(json.dumps(numbers, indent=2))
    return numbers
