import json
import re
import shutil
import subprocess

import pytest
import torch
from httpx2 import ConnectError
from huggingface_hub.errors import LocalEntryNotFoundError, LocalTokenNotFoundError

from agents.thinkjepa import checkpoints
from agents.thinkjepa.checkpoints import CheckpointError, from_pretrained, save_pretrained
from agents.thinkjepa.model import ThinkJEPA
from tests.agents.thinkjepa.tiny import IDENTITY_POINT, LANGUAGE_DIM, awake, model_config, world_config


def small_model():
    config = model_config()
    points = world_config(action_points=(IDENTITY_POINT,))
    model = awake(ThinkJEPA(type(config)(world_model=points, gpi=config.gpi)))
    model.world_model.action_mean.fill_(0.5)
    return model


@pytest.fixture
def saved(tmp_path):
    model = small_model()
    digest = save_pretrained(
        model, tmp_path / "model", thresholds={"token_cosine": 0.125}, description="Trained on nothing."
    )
    return tmp_path / "model", model, digest


def test_what_was_saved_is_loaded(saved):
    folder, model, digest = saved
    checkpoint = from_pretrained(folder, digest=digest)
    assert checkpoint.model.config == model.config
    assert checkpoint.thresholds == {"token_cosine": 0.125}
    assert checkpoint.digest == digest
    assert not checkpoint.model.training
    loaded = checkpoint.model.state_dict()
    assert loaded.keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded[name], tensor), name


def test_a_loaded_model_computes_and_can_be_trained_on(saved):
    folder, model, _ = saved
    loaded = from_pretrained(folder).model
    frames, words = torch.rand(1, 1, 3, 16, 16), torch.randn(1, LANGUAGE_DIM)
    results = []
    for each in (model, loaded):
        state = each.world_model.encode(frames)[:, 0]
        goal = each.gpi(words, torch.ones(1, 16), state)
        results.append(each.world_model.rollout(goal, torch.full((1, 1, 3), 0.5)))
    torch.testing.assert_close(*results, rtol=0, atol=0)
    results[1].sum().backward()
    assert loaded.world_model.encoder.embed.weight.grad is not None


def test_saving_is_deterministic_and_replaces(saved):
    folder, model, digest = saved
    loaded = from_pretrained(folder).model
    with torch.no_grad():
        loaded.gpi.project.weight.add_(1)
    assert from_pretrained(folder).digest == digest
    assert save_pretrained(loaded, folder) != digest
    assert save_pretrained(model, folder, thresholds={"token_cosine": 0.125}) == digest
    assert from_pretrained(folder, digest=digest).thresholds
    save_pretrained(model, folder)
    assert from_pretrained(folder).thresholds == {}


def test_weights_keep_their_dtype(tmp_path):
    save_pretrained(small_model().bfloat16(), tmp_path)
    assert from_pretrained(tmp_path).model.gpi.project.weight.dtype == torch.bfloat16


def test_standard_tools_check_the_sums(saved):
    assert subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=saved[0], check=False).returncode == 0


def test_the_card_tells_what_it_is(saved):
    card = (saved[0] / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: thinkjepa\n")
    assert "token_cosine < 0.125" in card
    assert "Trained on nothing." in card
    assert "states of 16 tokens of width 24" in card


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_changed_byte_is_refused(saved, name):
    path = saved[0] / name
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=f"{name} has SHA-256 .* damaged or was changed; fetch it again"):
        from_pretrained(saved[0])


def test_damaged_sums_are_refused(saved):
    (saved[0] / "SHA256SUMS").write_bytes(b"\xff\xfe" + (saved[0] / "SHA256SUMS").read_bytes()[9:])
    with pytest.raises(CheckpointError, match="SHA256SUMS says nothing"):
        from_pretrained(saved[0])


def test_a_truncated_file_is_refused(saved):
    path = saved[0] / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="damaged or was changed"):
        from_pretrained(saved[0])
    reseal(saved[0])
    with pytest.raises(CheckpointError, match="no complete safetensors file"):
        from_pretrained(saved[0])


def reseal(folder):
    """What somebody does who changes a file and its sum."""
    lines = [
        f"{checkpoints.file_sha256(folder / name)}  {name}\n" for name in (checkpoints.CONFIG, checkpoints.WEIGHTS)
    ]
    (folder / checkpoints.SUMS).write_text("".join(lines))


def test_an_exchanged_checkpoint_is_told_by_its_digest(saved):
    folder, model, digest = saved
    with torch.no_grad():
        model.gpi.project.weight += 1
    save_pretrained(model, folder)
    with pytest.raises(CheckpointError, match=rf"expected {digest}: it is another checkpoint"):
        from_pretrained(folder, digest=digest)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "SHA256SUMS"])
def test_a_missing_file_is_named(saved, name):
    (saved[0] / name).unlink()
    with pytest.raises(CheckpointError, match=f"no complete checkpoint: {name} missing"):
        from_pretrained(saved[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda config: config | {"format": 2}, "has format 2, this version reads 1"),
        (lambda config: config | {"thresholds": {"manhattan": 1.0}}, "manhattan"),
        (lambda config: config | {"model": {}}, "world_model"),
        (lambda config: [], "no configuration of a checkpoint"),
    ],
)
def test_a_configuration_that_is_none_is_refused(saved, change, message):
    path = saved[0] / "config.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    reseal(saved[0])
    with pytest.raises(CheckpointError, match=message):
        from_pretrained(saved[0])


def test_weights_of_other_sizes_are_refused(saved):
    path = saved[0] / "config.json"
    data = json.loads(path.read_text())
    data["model"]["gpi"]["language_dim"] += 1
    path.write_text(json.dumps(data))
    reseal(saved[0])
    with pytest.raises(CheckpointError, match=r"does not fit the sizes in config.json[\s\S]*gpi.project.weight"):
        from_pretrained(saved[0])


def test_a_hub_id_is_downloaded_without_anything_that_executes(saved, monkeypatch):
    asked = {}

    def download(repo_id, **arguments):
        asked.update(arguments, repo_id=repo_id)
        return str(saved[0])

    monkeypatch.setattr(checkpoints, "snapshot_download", download)
    assert from_pretrained("organisation/name", revision="v1").digest == saved[2]
    assert asked["repo_id"] == "organisation/name"
    assert asked["revision"] == "v1"
    assert all(re.fullmatch(r"[\w.]+\.(json|safetensors|md)|SHA256SUMS", name) for name in asked["allow_patterns"])


def test_what_cannot_be_found_is_refused(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise LocalEntryNotFoundError("offline")

    monkeypatch.setattr(checkpoints, "snapshot_download", fail)
    with pytest.raises(CheckpointError, match=r"the hub did not give it .*offline"):
        from_pretrained("organisation/name")
    for name in (tmp_path / "nothing", "nothing"):
        with pytest.raises(CheckpointError, match=r"no such folder, no shipped model .*, no hub id"):
            from_pretrained(name)


class Hub:
    """Stands in for the hub: folders in a folder. No test here talks to the real one, there is no network."""

    def __init__(self, root):
        self.root, self.made, self.fails = root, [], None

    def create_repo(self, repo_id, *, private, exist_ok):
        self.made.append((repo_id, private))
        (self.root / repo_id).mkdir(parents=True, exist_ok=exist_ok)

    def upload_folder(self, *, repo_id, folder_path, allow_patterns, commit_message):
        if self.fails:
            raise self.fails
        for path in folder_path.iterdir():
            if path.name in allow_patterns:
                shutil.copy(path, self.root / repo_id)

    def download(self, repo_id, **_):
        return str(self.root / repo_id)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    made = Hub(tmp_path / "hub")
    monkeypatch.setattr(checkpoints, "HfApi", lambda: made)
    monkeypatch.setattr(checkpoints, "snapshot_download", made.download)
    return made


def test_what_was_pushed_is_loaded_from_the_hub(hub, tmp_path):
    """On a fake hub: there is no network here, so that the real one takes it has not been tried."""
    folder, model = tmp_path / "model", small_model()
    folder.mkdir()
    (folder / "notes.txt").write_text("not for others")
    given = {"thresholds": {"l1": 0.5}, "push_to_hub": True, "repo_id": "organisation/name"}
    digest = save_pretrained(model, folder, **given, private=True)
    assert hub.made == [("organisation/name", True)]
    names = sorted(path.name for path in (hub.root / "organisation/name").iterdir())
    assert names == ["README.md", "SHA256SUMS", "config.json", "model.safetensors"]
    loaded = from_pretrained("organisation/name", digest=digest)
    assert loaded.thresholds == {"l1": 0.5}
    assert loaded.model.config == model.config
    assert save_pretrained(model, folder, **given) == digest, "again into the same repository"


@pytest.mark.parametrize(
    "given",
    [{"push_to_hub": True}, {"repo_id": "organisation/name"}, {"push_to_hub": True, "repo_id": "no/hub/id"}],
)
def test_where_to_push_is_checked_before_anything_is_written(hub, tmp_path, given):
    """On a fake hub, which must not be asked."""
    with pytest.raises(CheckpointError, match="give push_to_hub=True and repo_id=organisation/name"):
        save_pretrained(small_model(), tmp_path / "model", **given)
    assert not (tmp_path / "model").exists()
    assert not hub.made


@pytest.mark.parametrize(
    "error", [OSError("no space"), LocalTokenNotFoundError("no token"), ConnectError("unreachable")]
)
def test_what_the_hub_does_not_take_stays(hub, tmp_path, error):
    """On a fake hub, which fails as the real one's client does."""
    hub.fails = error
    with pytest.raises(CheckpointError, match=f"the hub did not take it as organisation/name .*{error}.*hf auth login"):
        save_pretrained(small_model(), tmp_path / "model", push_to_hub=True, repo_id="organisation/name")
    assert from_pretrained(tmp_path / "model").digest
