"""Drawn frames: the recorded pixels, the pixels of the physics world itself, and the fast approximation."""

import json

import numpy as np
import pybullet
import pytest
from PIL import Image

from envs.bullet.digest import digest
from envs.language_table.blocks import BLOCK_INDEX, BlockMode
from envs.language_table.board import Board
from envs.language_table.camera import camera
from envs.language_table.families import FAMILIES, Draws
from envs.language_table.scene import Scene
from envs.language_table.world import World


def make_board(assets, family="block2block", mode="BLOCK_8", seed=0, visible=False):
    parsed = BlockMode(mode)
    board = Board(World(assets, visible), FAMILIES[family](Draws.from_seed(seed), parsed), parsed)
    board.reset()
    return board


@pytest.mark.parametrize("index", [0, 5, 14])
def test_frames_are_the_recorded_ones(golden, official, index):
    record = json.loads((golden / "frames" / "frames_meta.json").read_text())["frames"][index]
    board = make_board(official, record["family"], record["mode"], record["seed"])
    actions = np.random.RandomState(record["seed"] + 900)
    for _ in range(record["t"]):
        board.step(np.clip(actions.randn(2) * 0.03, -0.1, 0.1))
    recorded = np.asarray(Image.open(golden / "frames" / record["frame"]))
    stock, lowpoly = Scene(official), Scene(official, lowpoly=True)
    assert np.array_equal(stock.draw(board.world, board.on_table).rgb, recorded)
    difference = np.abs(lowpoly.draw(board.world, board.on_table).rgb.astype(int) - recorded).mean()
    assert 0 < difference < 1.5
    for item in (stock, lowpoly, board.world):
        item.close()


def test_a_scene_draws_what_the_world_itself_would(generated):
    scene = Scene(generated)
    visible = make_board(generated, visible=True)
    drawn = camera().render(visible.world.client, flags=pybullet.ER_SEGMENTATION_MASK_OBJECT_AND_LINKINDEX)
    view = scene.draw(visible.world, visible.on_table)
    assert np.array_equal(view.rgb, drawn.rgb)
    packed = drawn.segmentation
    assert np.array_equal(view.segmentation, np.where(packed < 0, -1, packed & 0xFFFFFF))
    hidden = make_board(generated)
    assert digest(hidden.world.client) == digest(visible.world.client)
    for item in (scene, visible.world, hidden.world):
        item.close()


def test_blocks_of_the_last_board_disappear(generated):
    scene = Scene(generated)
    full, single = make_board(generated), make_board(generated, "point2block", "BLOCK_1")
    scene.draw(full.world, full.on_table)
    shown = np.unique(scene.draw(single.world, single.on_table).segmentation)
    assert set(shown[shown > 3]) == {4 + BLOCK_INDEX["green_star"]}
    for item in (scene, full.world, single.world):
        item.close()
