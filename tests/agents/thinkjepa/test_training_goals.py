"""Training of the Goal Projection Interface on a toy world: sentences rank actions by what they bring about."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.thinkjepa.checkpoints import from_pretrained
from agents.thinkjepa.config import ActionPoint
from agents.thinkjepa.distances import Objective
from agents.thinkjepa.images import to_frames
from agents.thinkjepa.presets import preset
from agents.thinkjepa.training.compose import read_config
from agents.thinkjepa.training.config import TrainingError
from agents.thinkjepa.training.loop import ExitCode
from agents.thinkjepa.training.objective import Batch
from agents.thinkjepa.training.recordings import Episode, Recordings, open_data
from agents.thinkjepa.training.scenes import Scenes
from agents.thinkjepa.training.setup import make_model, make_objective
from agents.thinkjepa.training.subgoals import kept_components
from agents.thinkjepa.words import embed
from tests.agents.thinkjepa.squares import CAMERA, SUBGOALS, holding, moved, picture
from tests.agents.thinkjepa.trained import QUICK, metrics, train


def test_sub_goals_in_words_rank_actions(world_model, overrides, squares, tmp_path):
    ended = train(
        "gpi",
        f"out={tmp_path / 'gpi'}",
        f"init={world_model / 'checkpoint'}",
        f"data.sources=[{squares}]",
        *CAMERA,
        "batch=16",
        "health_samples=64",
        "optimiser.warmup=10",
        "optimiser.learning_rates.gpi=2e-3",
        "objective.shift=1",
        "objective.holding=0",
        "steps=150",
        "every={log:50,save:150,health:150}",
    )
    assert ended.code == ExitCode.COMPLETED
    numbers = metrics(tmp_path / "gpi", "health")[-1]
    assert numbers["auc"] > 0.7
    assert numbers["text_matters"] > 0.2
    assert {f"auc/{kind}" for kind, _, _ in SUBGOALS} | {"auc_reached"} <= numbers.keys()
    before, after = (from_pretrained(folder / "checkpoint").model for folder in (world_model, tmp_path / "gpi"))
    for name, weight in before.world_model.state_dict().items():
        assert torch.equal(weight, after.world_model.state_dict()[name])
    goal = after.gpi(embed([SUBGOALS[0][1]], 64), torch.ones(1, 16), torch.randn(1, 16, 32))
    assert goal.shape == (1, 16, 32)


def goals_objective(world_model, squares, *changes):
    overrides = [f"init={world_model / 'checkpoint'}", f"data.sources=[{squares}]", *CAMERA, "out=unused"]
    config = read_config("gpi", [*overrides, *changes])
    sources = open_data(config.data)
    model = make_model(config, sources)
    return make_objective(config, model, sources.read(model.config.world_model.encoder, 0))


def test_a_share_of_samples_holds_already(world_model, squares):
    objective = goals_objective(world_model, squares, "objective.holding=0.4")
    samples = objective.draw(np.arange(400) % objective.samples(), 0).samples
    holding = samples["holding"]
    assert 0.3 < holding.float().mean() < 0.5
    before, after = samples["rows"].unbind(1)
    assert torch.equal(before == after, holding)
    assert torch.equal(after[~holding], before[~holding] + 1)
    for episode in objective.recordings.episodes:
        subgoals = [(objective.texts.index(text), objective.kinds.index(kind)) for kind, text, _ in episode.subgoals]
        for sample in torch.nonzero((before >= episode.start) & (before < episode.stop))[:, 0].tolist():
            number = subgoals.index((int(samples["text"][sample]), int(samples["kind"][sample])))
            row = int(before[sample]) - episode.start
            assert episode.holds[row, number] == holding[sample]
            assert episode.holds[row + 1, number]
    assert not objective.draw(np.arange(5), 0, held_out=True).samples["holding"].any()
    assert (
        not goals_objective(world_model, squares, "objective.holding=0").draw(np.arange(5), 0).samples["holding"].any()
    )


def test_thresholds_are_calibrated_with_attention_maps(world_model, squares, monkeypatch):
    """Of goals that are projected as an agent projects them, with the map of its reasoner."""
    objective = goals_objective(world_model, squares)
    seen = []
    project = objective.goals

    def goals(state, text, relevance):
        seen.append(relevance)
        return project(state, text, relevance)

    monkeypatch.setattr(objective, "goals", goals)
    objective.thresholds(32)
    drawn = objective._held_out(32).samples["relevance"]
    assert (drawn.amax(1) > 1).any(), "some have a map"
    assert len(seen) == 2
    assert all(torch.equal(relevance, drawn) for relevance in seen)


@pytest.mark.parametrize("held_out", [False, True])
def test_other_sub_goals_of_the_scene_are_judged_by_what_the_action_did(world_model, squares, held_out):
    objective = goals_objective(world_model, squares, "objective.others=4", "objective.holding=0.2")
    samples = objective.draw(np.arange(80) % objective.samples(held_out=held_out), 0, held_out=held_out).samples
    assert samples["other_relevance"].shape == (80, 4, objective.model.world_model.config.tokens)
    episodes = [e for e in objective.recordings.episodes if e.held_out == held_out]
    true = samples["other_true"]
    for sample in np.flatnonzero(~samples["holding"]):
        row = int(samples["rows"][sample, 0])
        episode = next(e for e in episodes if e.start <= row < e.stop)
        words = [objective.texts.index(text) for _, text, _ in episode.subgoals]
        numbers = [words.index(int(text)) for text in samples["other_text"][sample]]
        assert not episode.holds[row - episode.start, numbers].any()
        assert episode.holds[row - episode.start + 1, numbers].tolist() == true[sample].tolist()
        kinds = [objective.kinds.index(episode.subgoals[number][0]) for number in numbers]
        assert kinds == samples["other_kind"][sample].tolist()
    assert true[~samples["holding"]].float().mean() == 0.5


def test_where_everything_holds_nothing_else_is_judged():
    goals = [("table", "Put the cube on the table.", ("cube",)), ("zone", "Put the cube in the zone.", ("cube",))]
    episode = Episode(0, 2, held_out=False, subgoals=goals, holds=np.ones((2, 2), bool))
    recordings = Recordings("b", torch.zeros(2, 4, 4, 3), np.zeros((2, 1), np.float32), [episode], {}, ())
    judged = Scenes(recordings, 1).judged(np.array([0]), np.array([1]), 3, np.random.default_rng(0))
    assert not judged.true.any()
    assert (judged.kind == 1).all()


def test_sub_goals_that_do_not_come_true_are_often_about_the_same_thing(world_model, squares):
    objective = goals_objective(world_model, squares, "objective.others=4", "objective.holding=0")
    samples = objective.draw(np.arange(200) % objective.samples(), 0).samples
    red = torch.tensor(["red" in text for text in objective.texts])
    same = red[samples["other_text"]] == red[samples["text"]].unsqueeze(1)
    false = ~samples["other_true"]
    assert 0.4 < same[false].float().mean() < 0.6, "of eight, at most three are about the same square"


def test_costs_that_tell_what_comes_true_are_rewarded(world_model, squares):
    objective = goals_objective(world_model, squares, "objective.others=4", "objective.holding=0")
    batch = objective.draw(np.arange(32) % objective.samples(), 0)
    lies = Batch({**batch.samples, "other_true": ~batch.samples["other_true"]})
    optimiser = torch.optim.Adam(objective.model.gpi.parameters(), 2e-3)
    for _ in range(30):
        loss = objective(batch)["truth"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert objective(batch)["truth"] < 0.6 < objective(lies)["truth"]


def test_the_best_that_can_be_done_about_what_holds_is_nothing(world_model, squares):
    """A goal that changes nothing is right where the sub-goal holds, and wrong where it does not."""
    objective = goals_objective(world_model, squares, "objective.holding=0.5", "objective.weights.gpi=0")
    batch = objective.draw(np.arange(64) % objective.samples(), 0)
    terms = {}
    for holds in (True, False):
        chosen = batch.samples["holding"] == holds
        with torch.no_grad():
            terms[holds] = objective(Batch({name: value[chosen] for name, value in batch.samples.items()}))
    assert terms[True]["regression"] < 1e-6
    assert terms[False]["regression"] > 0.01
    assert terms[True]["ranking"] < terms[False]["ranking"]


def test_balanced_samples_are_of_every_kind_alike(world_model, squares):
    def kinds(balanced):
        objective = goals_objective(world_model, squares, f"objective.balanced={balanced}", "objective.holding=0")
        reached = objective._reached[False]
        single = np.flatnonzero(np.diff(reached.first) == 1)
        of_one_kind = [number for number in single if reached.kind[reached.first[number]] == 0]
        counts = np.bincount(objective.draw(np.resize(of_one_kind, 400), 0).samples["kind"], minlength=4)
        return counts / counts.sum()

    assert kinds(0.0)[0] == 1
    np.testing.assert_allclose(kinds(1.0), 0.25, atol=0.08)


def test_a_goal_projection_may_come_from_another_checkpoint(world_model, squares, overrides, tmp_path):
    init = f"init={world_model / 'checkpoint'}"
    given = [f"data.sources=[{squares}]", *CAMERA, *QUICK[:3], init]
    rate = ["optimiser.learning_rates.gpi=0", "optimiser.learning_rates.predictor=0", "steps=1"]
    train("gpi", f"out={tmp_path / 'words'}", *given, "model.gpi.beside=3", "model.gpi.film=true", "steps=2")
    train("gpi", f"out={tmp_path / 'both'}", *given, f"init_gpi={tmp_path / 'words' / 'checkpoint'}", *rate)
    world, words, both = (
        from_pretrained(folder / "checkpoint").model for folder in (world_model, tmp_path / "words", tmp_path / "both")
    )
    assert both.config.gpi == words.config.gpi != world.config.gpi
    for part, source in ((both.gpi, words.gpi), (both.world_model, world.world_model)):
        for name, weight in source.state_dict().items():
            assert torch.equal(weight, part.state_dict()[name])
    smaller = [*overrides, "model.world_model.encoder.width=16", "model.world_model.grid=2", "steps=1"]
    train("world_model", f"out={tmp_path / 'small'}", *smaller)
    with pytest.raises(TrainingError, match=r"init_gpi=.*is of states of another size than init="):
        train("gpi", f"out={tmp_path / 'not'}", *given, f"init_gpi={tmp_path / 'small' / 'checkpoint'}", "steps=1")


@pytest.mark.slow
def test_a_sentence_is_planned_for_in_a_new_scene(overrides, squares, tmp_path):
    """All of it: the goal of the words, the outcome of candidates, the toy world's verdict on the best of them."""
    data = f"data.sources=[{squares}]"
    rates = "optimiser.learning_rates={encoder:1e-3,predictor:1e-3}"
    train("world_model", f"out={tmp_path / 'wm'}", data, *overrides[1:], "batch=32", "steps=500", rates)
    given = [data, *CAMERA, f"init={tmp_path / 'wm' / 'checkpoint'}", "batch=32", "optimiser.warmup=20"]
    rates = "optimiser.learning_rates.gpi=2e-3"
    train("gpi", f"out={tmp_path / 'gpi'}", *given, "steps=500", "every.health=500", rates)
    model = from_pretrained(tmp_path / "gpi" / "checkpoint").model
    rng = np.random.default_rng(99)
    planned, drawn = [], []
    for _ in range(100):
        scene = rng.uniform(-0.7, 0.7, (2, 2))
        wanted = rng.choice([number for number, holds in enumerate(holding(scene)) if holds == "0"])
        candidates = torch.from_numpy(rng.uniform(-1, 1, (1, 256, 1, 4))).float()
        with torch.no_grad():
            state = model.world_model.encode(to_frames(torch.from_numpy(picture(scene)))[None, None])[:, 0]
            goal = model.gpi(embed([SUBGOALS[wanted][1]], 64), torch.ones(1, 16), state)
            best = model.world_model.cost(state, goal, candidates, Objective(distance="change_cosine")).argmin()
        for action, outcomes in ((candidates[0, best, 0], planned), (candidates[0, 0, 0], drawn)):
            outcomes.append(holding(moved(scene, action.numpy()))[wanted] == "1")
    assert np.mean(planned) > np.mean(drawn) + 0.3


def test_alternatives_share_a_point_with_the_executed_action_in_turns():
    points = tuple(ActionPoint(x=x, y=x + 1, homography=(1, 0, 0, 0, 1, 0, 0, 0, 1)) for x in (1, 3))
    world = preset("tiny", action_dim=6, language_dim=8).world_model
    kept = kept_components(replace(world, predictor=replace(world.predictor, action_points=points)), 4)
    assert kept.int().tolist() == [[0] * 6, [1, 1, 1, 0, 0, 1], [1, 0, 0, 1, 1, 1], [0] * 6]
    assert not kept_components(world, 4).any()
