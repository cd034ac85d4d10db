"""Official files arrive whole, checked and once, whatever the network does. Against a real HTTP server."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from envs.calvin.assets import manifest as calvin_manifest
from envs.language_table.assets import manifest as language_table_manifest
from envs.official import find_official
from harness import assets
from harness.assets import DownloadError, fetch
from harness.cli import main
from harness.interfaces import OfficialFile, OfficialFiles

CONTENT = {
    "a.urdf": b"<robot/>",
    "meshes/big.obj": bytes(range(256)) * 2000,
    "textures/wood.png": b"\x89PNG" + b"x" * 5000,
}


class Server(ThreadingHTTPServer):
    """Serves `CONTENT`. ``cuts`` says how often a path's connection breaks in the middle; ``log`` notes requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = dict(CONTENT)
        self.cuts: dict[str, int] = {}
        self.ranges = True
        self.log: list[tuple[str, str | None]] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that the test cuts is no news."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server: Any = self.server
        name = self.path.removeprefix("/repo/")
        asked = self.headers.get("Range")
        server.log.append((name, asked))
        if name not in server.content:
            self.send_error(404)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and server.ranges else 0
        body = server.content[name][start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if server.cuts.get(name, 0):
            server.cuts[name] -= 1
            body = body[: len(body) // 2]
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def wanted(server: Server, folder: Path) -> OfficialFiles:
    files = tuple(OfficialFile(n, hashlib.sha256(c).hexdigest(), len(c)) for n, c in CONTENT.items())
    return OfficialFiles("toy", f"http://127.0.0.1:{server.server_port}/repo/", "MIT", files, folder)


def get(server: Server, root: Path) -> int:
    return fetch(wanted(server, root), root, lambda done, total: None, pause=0.01)


def contents(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_everything_is_downloaded_once(server: Server, tmp_path: Path) -> None:
    assert get(server, tmp_path) == 3
    assert contents(tmp_path) == CONTENT
    assert get(server, tmp_path) == 0
    assert len(server.log) == 3


def test_progress_counts_bytes_in_place(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.urdf").write_bytes(CONTENT["a.urdf"])
    seen: list[tuple[int, int]] = []
    fetch(wanted(server, tmp_path), tmp_path, lambda done, total: seen.append((done, total)))
    total = sum(map(len, CONTENT.values()))
    assert seen[0] == (8, total)
    assert seen[-1] == (total, total)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_damaged_and_missing_files_are_repaired_and_nothing_else_is_touched(server: Server, tmp_path: Path) -> None:
    get(server, tmp_path)
    (tmp_path / "meshes/big.obj").write_bytes(b"\0" * len(CONTENT["meshes/big.obj"]))
    (tmp_path / "a.urdf").unlink()
    (tmp_path / "notes.txt").write_text("mine")
    kept = (tmp_path / "textures/wood.png").stat().st_mtime_ns
    assert get(server, tmp_path) == 2
    assert contents(tmp_path) == {**CONTENT, "notes.txt": b"mine"}
    assert (tmp_path / "textures/wood.png").stat().st_mtime_ns == kept


def test_a_broken_connection_is_continued_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.cuts["meshes/big.obj"] = 1
    get(server, tmp_path)
    assert contents(tmp_path) == CONTENT
    half = len(CONTENT["meshes/big.obj"]) // 2
    assert ("meshes/big.obj", f"bytes={half}-") in server.log


def test_an_interrupted_download_is_continued_by_the_next_call(server: Server, tmp_path: Path) -> None:
    server.cuts["meshes/big.obj"] = assets.ATTEMPTS
    with pytest.raises(DownloadError, match=r"connection ended after .* Without a network, .* HARNESS_ASSETS"):
        get(server, tmp_path)
    assert not (tmp_path / "meshes/big.obj").exists()
    server.log.clear()
    get(server, tmp_path)
    assert contents(tmp_path) == CONTENT
    assert server.log[0][1] is not None


def test_a_server_without_ranges_sends_the_whole_file_again(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    server.cuts["meshes/big.obj"] = 1
    get(server, tmp_path)
    assert contents(tmp_path) == CONTENT


def test_leftovers_that_are_no_beginning_of_the_file_do_no_harm(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.urdf.part").write_bytes(b"much longer than the file")
    (tmp_path / "meshes").mkdir()
    (tmp_path / "meshes/big.obj.part").write_bytes(b"wrong")
    with pytest.raises(DownloadError, match="has SHA-256"):
        get(server, tmp_path)
    assert get(server, tmp_path) == 2
    assert contents(tmp_path) == CONTENT


def test_another_content_is_never_installed(server: Server, tmp_path: Path) -> None:
    server.content["a.urdf"] = b"<evil!/>"
    with pytest.raises(DownloadError, match=r"a\.urdf has SHA-256 .*, expected .* not installed"):
        get(server, tmp_path)
    assert contents(tmp_path) == {}


def test_a_file_that_is_not_there_is_named_and_not_asked_for_again(server: Server, tmp_path: Path) -> None:
    del server.content["textures/wood.png"]
    with pytest.raises(DownloadError, match=r"wood\.png: the server answers 404"):
        get(server, tmp_path)
    assert [name for name, _ in server.log].count("textures/wood.png") == 1


def test_the_verb_downloads_checks_and_repairs(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("harness.cli.assets.official_files", lambda world: wanted(server, tmp_path / "cache"))
    assert main(["assets", "toy", "--check"]) == 1
    assert "missing a.urdf" in capsys.readouterr().out
    assert main(["assets", "toy"]) == 0
    answer = capsys.readouterr()
    assert answer.out.splitlines()[-1] == str(tmp_path / "cache")
    assert "3 of 3 files downloaded" in answer.err
    (tmp_path / "cache/a.urdf").write_bytes(b"<robot>>")
    assert main(["assets", "toy", "--check"]) == 1
    assert "damaged a.urdf" in capsys.readouterr().out
    assert main(["assets", "toy", "--to", str(tmp_path / "other")]) == 0
    assert contents(tmp_path / "other") == CONTENT


def test_without_a_network_the_way_out_is_named(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = wanted(server, tmp_path)
    server.shutdown()
    server.server_close()
    monkeypatch.setattr("harness.assets.time.sleep", lambda seconds: None)
    monkeypatch.setattr("harness.cli.assets.official_files", lambda world: files)
    assert main(["assets", "toy"]) == 1
    assert "HARNESS_ASSETS=DIR" in capsys.readouterr().err


def test_an_unknown_world_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["assets", "calvn"]) == 2
    assert "did you mean 'calvin'?" in capsys.readouterr().err


@pytest.mark.parametrize("files", [calvin_manifest(), language_table_manifest()], ids=lambda files: files.world)
def test_the_manifests_name_pinned_files(files: OfficialFiles) -> None:
    assert files.base_url.startswith("https://raw.githubusercontent.com/")
    assert any(len(part) == 40 for part in files.base_url.split("/"))
    assert len({file.path for file in files.files}) == len(files.files) > 20
    assert all(len(file.sha256) == 64 and file.size > 0 and ".." not in file.path for file in files.files)


def test_worlds_refuse_a_folder_that_is_not_whole(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = wanted(server, tmp_path / "nowhere")
    monkeypatch.delenv("HARNESS_ASSETS", raising=False)
    assert find_official(files) is None
    monkeypatch.setenv("HARNESS_ASSETS", str(tmp_path))
    (tmp_path / "toy").mkdir()
    with pytest.raises(FileNotFoundError, match=r"3 of 3 official files .* `harness assets toy --to"):
        find_official(files)
    get(server, tmp_path / "toy")
    assert find_official(files) == tmp_path / "toy"


def test_doctor_reports_worlds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from envs import checks

    monkeypatch.delenv("HARNESS_ASSETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = {check.name: check for check in checks.checks()}
    assert found["renderer"].status == "ok"
    assert found["calvin files"].status == "note"
    assert found["calvin files"].remedy == "`harness assets calvin`"
    monkeypatch.setattr(checks, "REFERENCE_FRAME", "0")
    assert next(iter(checks.checks())).status == "note"
    monkeypatch.setattr(checks, "egl_available", lambda: True)
    assert {check.name: check for check in checks.checks()}["egl"].found == "renderer=egl works"
