"""A picture of some episodes with their instructions: ``python -m thinkbench.gallery sheet.png``."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt

from harness.interfaces import EpisodeSpec
from thinkbench.env import ThinkBenchEnv
from thinkbench.generator import generate
from thinkbench.specs import to_spec
from thinkbench.templates import load_templates

PIXELS = 400
CAPTION_WIDTH = 46


def draw(specs: Sequence[EpisodeSpec], path: Path) -> None:
    """Write the start of each episode, seen by the static camera, above its instruction."""
    env = ThinkBenchEnv(image_size=PIXELS, observation_keys=("rgb_static",))
    figure, axes = plt.subplots(1, len(specs), figsize=(3.2 * len(specs), 4.1), squeeze=False)
    for axis, spec in zip(axes[0], specs, strict=True):
        observation, _ = env.reset(seed=spec.seed, options={"episode": spec})
        axis.imshow(observation["rgb_static"][PIXELS // 8 : -PIXELS // 8])
        axis.set_title(spec.episode_id, fontsize=9)
        axis.set_xlabel(textwrap.fill(spec.stages[0].instruction, CAPTION_WIDTH), fontsize=7)
        axis.set(xticks=[], yticks=[])
    figure.tight_layout()
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)
    env.close()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, help="picture to write")
    parser.add_argument(
        "--templates", nargs="+", default=["tower-h5", "unearth-h7", "sort-h10"], help="names of templates"
    )
    arguments = parser.parse_args()
    templates = load_templates()
    draw([to_spec(generate(templates[name], 0, 0)) for name in arguments.templates], arguments.path)


if __name__ == "__main__":
    main()
