"""Where things start: rows of zones, piles in trays, screens before the camera, lookalikes, drawn arrangements."""

import numpy as np
import pytest

from envs.tabletop.cameras import STATIC_EYE
from envs.tabletop.env import TabletopEnv
from envs.tabletop.scene import SceneSpec
from thinkbench.abstraction import abstract, domain_of
from thinkbench.generator import Episode, generate
from thinkbench.geometry import separation
from thinkbench.ideal import ideal_state
from thinkbench.symbolic import shortest_plan
from thinkbench.templates import load_templates

TEMPLATES = load_templates()


def drawn(name: str, index: int = 0) -> Episode:
    return generate(TEMPLATES[name], index, 5)


def squares(*offsets: tuple[float, float], half: float) -> list[np.ndarray]:
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    return [corners + np.array(offset) for offset in offsets]


def test_separation_of_polygons() -> None:
    one, beside, diagonal = squares((0, 0), (3, 0), (3, 4), half=1)
    assert separation(one, beside) == separation(beside, one) == pytest.approx(1)
    assert separation(one, diagonal) == pytest.approx(2)  # along the better axis
    (inner,) = squares((0.1, 0), half=0.2)
    assert separation(one, inner) < 0
    assert separation(inner, one) < 0


def test_rows_run_from_the_robots_left_to_its_right() -> None:
    for index in range(3):
        scene = drawn("lineup-h7", index).scene
        xs, ys = zip(*(zone.centre for zone in scene.zones), strict=True)
        assert len(set(xs)) == 1
        assert list(ys) == sorted(ys, reverse=True)
        gaps = -np.diff(ys) - 2 * scene.zones[0].half_extents[1]
        assert gaps == pytest.approx([TEMPLATES["lineup-h7"].rows.gap] * 4, abs=1e-3)


def test_piles_start_in_their_tray() -> None:
    episode = drawn("repack-h10")
    domain, state = domain_of(episode.scene, episode.goal, episode.rules), ideal_state(episode.scene)
    supports = dict(zip(domain.movable, abstract(state, domain), strict=True))
    (target,) = {literal.args[1] for literal in episode.goal if literal.predicate == "inside"}
    (source,) = set(domain.containers) - {target}
    assert sum(place == source for place in supports.values()) == 2
    assert domain.open_containers == {source, target}


def test_lookalikes_differ_in_size_only() -> None:
    episode = drawn("lineup-h5")
    wanted = next(literal.args[0] for literal in episode.goal)
    specs = {spec.name: spec for spec in episode.scene.objects}
    alike = [spec for spec in specs.values() if spec.name.startswith(wanted) and spec.name != wanted]
    assert [(spec.kind, spec.colour) for spec in alike] == [(specs[wanted].kind, specs[wanted].colour)]
    assert alike[0].size is not specs[wanted].size


@pytest.mark.parametrize("name", ["tower-h3", "unearth-h3", "unearth-h5"])
def test_screens_hide_a_part_of_something_from_the_static_camera(name: str) -> None:
    """Behind its screen the object shows fewer pixels than without, but not none."""
    template = TEMPLATES[name]
    hidden_roles = {role.hides for role in template.objects.values()} - {None}
    assert len(hidden_roles) == 1
    episode = drawn(name)
    order = list(template.objects)
    specs = episode.scene.objects
    hidden = specs[order.index(hidden_roles.pop())]
    screen = specs[order.index("s1")]
    assert np.hypot(*(np.array(STATIC_EYE[:2]) - screen.position[:2])) < np.hypot(
        *(np.array(STATIC_EYE[:2]) - hidden.position[:2])
    )
    bare = SceneSpec(tuple(spec for spec in specs if spec != screen), episode.scene.zones)
    visible = [visible_pixels(scene, hidden.name) for scene in (episode.scene, bare)]
    assert 0 < visible[0] < 0.85 * visible[1]


def visible_pixels(scene: SceneSpec, name: str) -> int:
    env = TabletopEnv(
        cameras=("rgb_static",), image_size=200, segmentation=True, observation_keys=("segmentation_static",)
    )
    observation, _ = env.reset(options={"scene": scene})
    env.close()
    label = 1 + [spec.name for spec in scene.objects].index(name)
    return int((observation["segmentation_static"] == label).sum())


@pytest.mark.parametrize("name", ["hanoi-h3", "hanoi-h10"])
def test_drawn_tasks_differ_and_keep_to_the_rules(name: str) -> None:
    seen = set()
    for index in range(6):
        episode = drawn(name, index)
        domain = domain_of(episode.scene, episode.goal, episode.rules)
        start = abstract(ideal_state(episode.scene), domain)
        pieces = {literal.args[0] for literal in episode.rules}
        assert "table" not in {place for item, place in zip(domain.movable, start, strict=True) if item in pieces}
        assert len(shortest_plan(domain, start, episode.goal)) == episode.template.horizon
        roles = {spec.name: i for i, spec in enumerate(episode.scene.objects)}
        seen.add(tuple((roles[literal.args[0]], roles.get(literal.args[1])) for literal in episode.goal))
    assert len(seen) > 1
