"""The card of a dataset: what a reader must know before training on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_TEMPLATE = """\
---
task_categories: [robotics]
tags: [LeRobot, {benchmark}]
configs:
- config_name: default
  data_files: data/*/*.parquet
---

# {benchmark}, collected by `{agent}`

{episodes} episodes, {frames} frames ({fps} per second of simulated time{skills}), {tasks} instructions and {labels}
language labels. {successes} episodes succeeded by the benchmark's own verdict (play has none); the others are in the
data too, see `success` in `meta/episodes`. Episodes that ended in an error are left out.

## Where it comes from

- Collected with `harness collect`, run key `{run_key}`, seed {seed}, code at commit `{git}`.
- Agent `{agent}`{privileged}. Protocol `{protocol}@{version}`; what departs from it:
{deviations}
- None of these episodes belongs to the protocol's evaluation.

## Columns of `data/`

| column | type | shape |
|---|---|---|
{columns}

The last row of each episode (`is_last`) holds the observation after the last action; its `action` is zero and was not
executed.

## How to read it

```python
import io, pandas
from PIL import Image

episodes = pandas.read_parquet("meta/episodes/chunk-000/file-000.parquet")
frames = pandas.read_parquet("data/chunk-000/file-000.parquet")
image = Image.open(io.BytesIO(frames["observation.images.KEY"][0]["bytes"]))
```

or `harness.dataset.Dataset(folder).episode(0)`. `sha256sum -c SHA256SUMS` checks the files.

## Labels by task

{label_counts}
"""


def card(info: Mapping[str, Any], episodes: Sequence[Mapping[str, Any]], labels: Sequence[Mapping[str, Any]]) -> str:
    """The text of ``README.md``."""
    facts = info["collection"]
    counts: dict[str, int] = {}
    for label in labels:
        counts[label["task"]] = counts.get(label["task"], 0) + 1
    columns = [f"| `{n}` | {f['dtype']} | {' x '.join(map(str, f['shape']))} |" for n, f in info["features"].items()]
    rows = [f"| {task} | {count} |" for task, count in sorted(counts.items())]
    return _TEMPLATE.format(
        benchmark=facts["benchmark"],
        agent=facts["agent"]["name"],
        privileged=" (privileged: it acts on ground truth)" if facts["privileged_agent"] else "",
        protocol=facts["protocol"]["name"],
        version=facts["protocol"]["version"],
        run_key=facts["run_key"],
        seed=facts["seed"],
        git=facts["git"] or "unknown",
        episodes=len(episodes),
        frames=info["total_frames"],
        fps=info["fps"],
        skills="; an action is a whole skill" if facts["skill_actions"] else "",
        tasks=info["total_tasks"],
        labels=len(labels),
        successes=sum(bool(episode["success"]) for episode in episodes),
        deviations="\n".join(f"  - {line}" for line in facts["deviations"]),
        columns="\n".join(columns),
        label_counts="\n".join(["| task | labels |", "|---|---|", *rows]) if rows else "None.",
    )
