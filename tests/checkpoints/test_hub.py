"""Classifiers on a fake Hugging Face hub: a local server that implements the requests of huggingface_hub."""

from __future__ import annotations

import hashlib
import pickle
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from facts import raises

from dvspipe.base.errors import CheckpointError
from dvspipe.checkpoints.checkpoint import (
    ClassifierConfig,
    find_checkpoint,
    load_checkpoint,
    pin_checkpoint,
    save_checkpoint,
)
from dvspipe.encoding import BinConfig
from dvspipe.networks import NetworkConfig

CONFIG = ClassifierConfig(
    classes=("a", "b"), width=12, height=7, bins=BinConfig(steps=2), network=NetworkConfig(channels=(2,))
)


class Hub(BaseHTTPRequestHandler):
    """Fake hub. Repositories map each commit to its files, the newest commit last."""

    repositories: ClassVar[dict[str, dict[str, dict[str, bytes]]]] = {}
    asked: ClassVar[list[str]] = []

    def answer(self, code: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if self.path.startswith("/api/"):
            return self.answer(404, X_Error_Code="RepoNotFound")
        user, model, _, revision, file = self.path.strip("/").split("/", 4)
        self.asked.append(f"{self.command} {file}")
        if model == "gated":
            return self.answer(403, X_Error_Code="GatedRepo")
        commits = self.repositories.get(f"{user}/{model}")
        if commits is None:
            return self.answer(404, X_Error_Code="RepoNotFound")
        commit = [*commits][-1] if revision == "main" else revision
        if commit not in commits:
            return self.answer(404, X_Error_Code="RevisionNotFound")
        if file not in commits[commit]:
            return self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
        content = commits[commit][file]
        return self.answer(200, content, X_Repo_Commit=commit, ETag=f'"{hashlib.sha256(content).hexdigest()}"')

    def log_message(self, *_: object) -> None:
        pass


def reload_library(patch: pytest.MonkeyPatch) -> None:
    """Make huggingface_hub read its environment variables again."""
    for name in [name for name in sys.modules if name.split(".")[0] == "huggingface_hub"]:
        patch.delitem(sys.modules, name)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server, pytest.MonkeyPatch.context() as patch:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        patch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("hub")))
        patch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
        for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            patch.delenv(name, raising=False)
        reload_library(patch)
        pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
        yield server
        server.shutdown()
        reload_library(patch)


@pytest.fixture
def hub(server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch) -> type[Hub]:  # noqa: ARG001
    monkeypatch.setattr(Hub, "repositories", {})
    monkeypatch.setattr(Hub, "asked", [])
    return Hub


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "bars.safetensors"
    save_checkpoint(path, CONFIG, CONFIG.build_network())
    return path


def add_commit(hub: type[Hub], name: str, checkpoint: Path) -> str:
    """Add a commit with a checkpoint to a repository; return the model at this commit."""
    content = checkpoint.read_bytes()
    commit = hashlib.sha1(content).hexdigest()
    hub.repositories.setdefault(name, {})[commit] = {"model.safetensors": content}
    return f"hf://{name}@{commit}"


def test_model_is_pinned_to_its_commit_and_read_from_the_cache(hub: type[Hub], checkpoint: Path) -> None:
    first = checkpoint.read_bytes()
    pinned = add_commit(hub, "user/bars", checkpoint)
    assert pin_checkpoint("hf://user/bars") == pin_checkpoint(pinned) == pinned
    save_checkpoint(checkpoint, CONFIG, CONFIG.build_network())
    add_commit(hub, "user/bars", checkpoint)
    assert find_checkpoint("hf://user/bars").read_bytes() == checkpoint.read_bytes()
    hub.asked.clear()
    assert find_checkpoint(pinned).read_bytes() == first
    assert hub.asked == []
    assert load_checkpoint(pinned).config == CONFIG


@pytest.mark.parametrize("name", ["hf://", "hf://user", "hf://user/a/b", "hf://user/a@", "hf://../a", "hf://us er/a"])
def test_what_is_no_name_on_the_hub_is_an_error(name: str) -> None:
    with raises(CheckpointError, name, "hf://USER/NAME"):
        find_checkpoint(name)


def load_error(name: str) -> str:
    with raises(CheckpointError, name) as caught:
        load_checkpoint(name)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_missing_gated_and_foreign_repositories_are_one_line(hub: type[Hub], checkpoint: Path) -> None:
    assert "gated" in load_error("hf://user/gated")
    assert "hf auth login" in load_error("hf://user/missing")
    add_commit(hub, "user/here", checkpoint)
    assert "revision" in load_error("hf://user/here@v9")
    hub.repositories["user/pickles"] = {"c1": {"pytorch_model.bin": pickle.dumps({})}}
    assert "model.safetensors" in load_error("hf://user/pickles")
    assert "the hub failed" in load_error("hf://user/a--b")  # huggingface_hub refuses the name


def test_cached_model_loads_offline(hub: type[Hub], checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    add_commit(hub, "user/cached", checkpoint)
    find_checkpoint("hf://user/cached")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert load_checkpoint("hf://user/cached").config == CONFIG
    assert "cannot be reached" in load_error("hf://user/never")


def test_missing_hub_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert "pip install 'dvspipe[hub]'" in load_error("hf://user/name")
