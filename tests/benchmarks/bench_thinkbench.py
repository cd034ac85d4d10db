"""ThinkBench: CPU seconds to generate an episode, to certify it and to carry it out, for each template."""

from __future__ import annotations

import resource
import statistics
from typing import Any

from thinkbench.certificates import certified_episode
from thinkbench.env import ThinkBenchEnv
from thinkbench.execution import execute
from thinkbench.generator import generate
from thinkbench.templates import load_templates

SECONDS = 6.0
"""What generating and certifying one episode may take on one core."""

SUITE_SEED = 20_260_101  # of no suite that is shipped
EPISODES = 3  # of each template


def main() -> dict[str, Any]:
    """Measure all templates; prints as it goes."""
    env = ThinkBenchEnv(observation_keys=())
    numbers: dict[str, Any] = {}
    for name, template in load_templates().items():
        drawn, certified, executed = [], [], []
        for index in range(EPISODES):
            began = cpu_seconds()
            generate(template, index, SUITE_SEED)
            drawn.append(cpu_seconds() - began)
            began = cpu_seconds()
            record, _ = certified_episode(template, index, SUITE_SEED, env)
            certified.append(cpu_seconds() - began)
            began = cpu_seconds()
            execute(env, record.spec(record.horizon))
            executed.append(cpu_seconds() - began)
        numbers[name] = {
            "generated": statistics.median(drawn),
            "generated_and_certified": statistics.median(certified),
            "generated_and_certified_at_most": max(certified),
            "executed": statistics.median(executed),
        }
        print(f"{name}: " + ", ".join(f"{key} {value:.2f} s" for key, value in numbers[name].items()), flush=True)
    mean = statistics.fmean(numbers[name]["generated_and_certified"] for name in numbers)
    most = max(numbers[name]["generated_and_certified_at_most"] for name in numbers)
    print(f"generated and certified: {mean:.2f} s on average, at most {most:.2f} s (expected: at most {SECONDS:g} s)")
    return numbers | {"mean": mean, "at_most": most, "expected_at_most": SECONDS}


def cpu_seconds() -> float:
    """CPU time of this process and of the planners that it has started and that have ended."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
