"""How fast the planner is on a GPU, at the budget of the paper: 512 candidates of 10 steps, 5 iterations.

Predictors of the presets ``small`` and ``paper`` over states of 4 x 4, 7 x 7 and 14 x 14 tokens, weights in bfloat16,
eager, compiled, and compiled into CUDA graphs. Milliseconds per plan are medians; the share of the roofline is the
arithmetic of all predictor passes over what the device could do in that time with dense bfloat16.

Without a GPU the eager planner runs on one CPU thread with a small part of the budget, and the time of a whole plan is
extrapolated from the passes; it says so.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from agents.thinkjepa.config import EncoderConfig
from agents.thinkjepa.distances import Objective
from agents.thinkjepa.planner.config import PlannerConfig
from agents.thinkjepa.planner.latent import LatentPlanner
from agents.thinkjepa.presets import Preset, preset
from agents.thinkjepa.world_model import WorldModel

ACTION_DIM = 7
PRESETS: tuple[Preset, ...] = ("small", "paper")
GRIDS = (4, 7, 14)
BUDGET = PlannerConfig(population=512, horizon=10, iterations=5)
CPU_BUDGET = PlannerConfig(population=16, horizon=1, iterations=1, elite_fraction=0.5)
REPEATS = 5
DENSE_BF16 = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12}
"""Floating-point operations per second, from the vendor's data sheets, without sparsity."""

Mode = Literal["eager", "compiled", "graphs"]


def make_model(name: Preset, grid: int, device: torch.device) -> WorldModel:
    """The preset's predictor behind an encoder of one layer, which no plan runs."""
    world = preset(name, action_dim=ACTION_DIM, language_dim=8).world_model
    encoder = EncoderConfig(image_size=224, patch_size=16, width=world.encoder.width, layers=1, heads=1)
    torch.manual_seed(0)
    model = WorldModel(replace(world, encoder=encoder, grid=grid)).eval()
    return model.to(device).cast_weights(torch.bfloat16)


def passes(config: PlannerConfig) -> int:
    """Predictor passes of one plan."""
    return sum(config.populations) * config.horizon


def flops_per_pass(model: WorldModel) -> int:
    """Of one predictor pass over one state."""
    device = model.action_mean.device
    state = torch.zeros(1, model.config.tokens, model.config.encoder.width, device=device)
    with FlopCounterMode(display=False) as counter:
        model.cost(state, state, torch.zeros(1, 1, 1, ACTION_DIM, device=device), Objective())
    return int(counter.get_total_flops())


def make_planner(model: WorldModel, config: PlannerConfig, mode: Mode) -> LatentPlanner:
    """A planner for actions in [-1, 1]."""
    box = {"low": -np.ones(ACTION_DIM), "high": np.ones(ACTION_DIM)}
    planner = LatentPlanner(model, config, compile=mode == "graphs", **box)
    if mode == "compiled":
        planner._cost = torch.compile(model.cost, fullgraph=True, dynamic=False)
    return planner


def median_ms(call: Callable[[], object]) -> float:
    """Of `REPEATS` calls, after two that warm up (and compile)."""
    times = []
    for number in range(REPEATS + 2):
        _synchronise()
        start = time.perf_counter()
        call()
        _synchronise()
        if number >= 2:
            times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def measure(name: Preset, grid: int, mode: Mode, device: torch.device) -> dict[str, Any]:
    """One row of the table."""
    model = make_model(name, grid, device)
    config = BUDGET if device.type == "cuda" else CPU_BUDGET
    planner = make_planner(model, config, mode)
    states = model.normalise(torch.randn(2, 1, model.config.tokens, model.config.encoder.width, device=device))
    per_plan = median_ms(lambda: planner.plan(states[0], states[1], [0])) * passes(BUDGET) / passes(config)
    flops = flops_per_pass(model) * passes(BUDGET)
    row = {
        "predictor": name,
        "tokens": grid**2,
        "mode": mode,
        "gflop_per_pass": round(flops / passes(BUDGET) / 1e9, 3),
        "ms_per_plan": round(per_plan, 1),
        "tflop_per_second": round(flops / per_plan / 1e9, 2),
    }
    peak = next((peak for known, peak in DENSE_BF16.items() if known in device_name(device)), None)
    return row if peak is None else row | {"roofline_share": round(1e3 * flops / per_plan / peak, 3)}


def device_name(device: torch.device) -> str:
    """As the vendor calls it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, one thread, {torch.backends.cpu.get_cpu_capability()}"


def main() -> dict[str, Any]:
    """Measure everything and print it."""
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    modes: tuple[Mode, ...] = ("eager", "compiled", "graphs") if on_gpu else ("eager",)
    with torch.no_grad():
        rows = [measure(name, grid, mode, device) for name in PRESETS for grid in GRIDS for mode in modes]
    torch.set_num_threads(threads)
    numbers: dict[str, Any] = {
        "device": device_name(device),
        "candidates_horizon_iterations": [BUDGET.population, BUDGET.horizon, BUDGET.iterations],
        "extrapolated_from_passes": None if on_gpu else passes(CPU_BUDGET),
        "rows": rows,
    }
    print(json.dumps(numbers, indent=2))
    return numbers
