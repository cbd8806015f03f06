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

import numpy as np
import pytest
from commands import dvspipe
from conftest import random_events
from facts import raises
from safetensors.numpy import save as to_bytes

from dvspipe.base.errors import CheckpointError
from dvspipe.checkpoints.checkpoint import ClassifierConfig, find_checkpoint, save_checkpoint
from dvspipe.checkpoints.hub import HubRepository
from dvspipe.encoding import BinConfig
from dvspipe.formats import write
from dvspipe.inference import Classifier
from dvspipe.networks import NetworkConfig

CONFIG = ClassifierConfig(
    classes=("left", "right"),
    width=12,
    height=7,
    bins=BinConfig(steps=2),
    network=NetworkConfig(channels=(2,)),
    trained_on="synthetic bars, 40 recordings",
    calibrated_on=8,
)


class Hub(BaseHTTPRequestHandler):
    """Fake hub. Repositories map each commit to its files, the newest commit last."""

    repositories: ClassVar[dict[str, dict[str, dict[str, bytes]]]] = {}
    closed: ClassVar[dict[str, str]] = {}  # repository -> error code
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
        name = f"{user}/{model}"
        if name in self.closed:
            return self.answer(403, X_Error_Code=self.closed[name], X_Error_Message="no")
        commits = self.repositories.get(name)
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
    monkeypatch.setattr(Hub, "closed", {})
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


def test_classifier_on_the_hub_loads_pinned_to_its_commit(hub: type[Hub], checkpoint: Path) -> None:
    pinned = add_commit(hub, "user/bars", checkpoint)
    loaded = Classifier.load("hf://user/bars")
    assert loaded.digest == Classifier.load(checkpoint).digest
    assert loaded.checkpoint == pinned


def test_revision_loads_after_newer_commits_and_from_cache(hub: type[Hub], checkpoint: Path) -> None:
    first = Classifier.load(checkpoint)
    pinned = add_commit(hub, "user/twice", checkpoint)
    save_checkpoint(checkpoint, CONFIG, CONFIG.build_network())
    add_commit(hub, "user/twice", checkpoint)
    assert Classifier.load("hf://user/twice").digest == Classifier.load(checkpoint).digest
    assert Classifier.load(pinned).digest == first.digest
    hub.asked.clear()
    assert find_checkpoint(pinned).is_file()
    assert hub.asked == []


@pytest.mark.parametrize("name", ["hf://", "hf://user", "hf://user/a/b", "hf://user/a@", "hf://../a", "hf://us er/a"])
def test_what_is_no_name_on_the_hub_is_an_error(name: str) -> None:
    with raises(CheckpointError, "hf://USER/NAME"):
        find_checkpoint(name)


def test_hub_name_with_revision_is_parsed() -> None:
    assert HubRepository.parse("hf://u/a.b-c@refs/pr/1") == HubRepository("u/a.b-c", "refs/pr/1")


def load_error(name: str) -> str:
    with pytest.raises(CheckpointError) as caught:
        Classifier.load(name)
    text = str(caught.value)
    assert text.startswith(f"{name}: ") or "@" not in name
    assert "\n" not in text
    assert "://127" not in text
    return text


def test_a_missing_gated_or_foreign_repository_is_one_line(hub: type[Hub], checkpoint: Path) -> None:
    assert "hf://user/missing" in load_error("hf://user/missing")
    hub.closed["user/gated"] = "GatedRepo"
    assert "gated" in load_error("hf://user/gated")
    add_commit(hub, "user/here", checkpoint)
    assert "v9" in load_error("hf://user/here@v9")
    hub.repositories["user/pickles"] = {"c1": {"pytorch_model.bin": pickle.dumps({})}}
    assert "model.safetensors" in load_error("hf://user/pickles")


def test_weights_of_other_programs_are_rejected(hub: type[Hub]) -> None:
    hub.repositories["user/llm"] = {"c2": {"model.safetensors": to_bytes({"weight": np.zeros(3)})}}
    assert "hf://user/llm@c2" in load_error("hf://user/llm")


def test_pickled_weights_are_rejected(hub: type[Hub]) -> None:
    hub.repositories["user/evil"] = {"c3": {"model.safetensors": pickle.dumps([print])}}
    assert "hf://user/evil@c3" in load_error("hf://user/evil")


def test_cached_model_loads_offline(hub: type[Hub], checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    add_commit(hub, "user/cached", checkpoint)
    classifier = Classifier.load("hf://user/cached")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert Classifier.load("hf://user/cached").digest == classifier.digest
    assert "hf://user/never" in load_error("hf://user/never")


def test_missing_hub_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert "pip install 'dvspipe[hub]'" in load_error("hf://user/name")


@pytest.mark.parametrize("words", ["infer NAME a.h5", "adapt NAME . -o b.safetensors", "export NAME -o c.nir"])
def test_commands_accept_a_hub_model(
    words: str, hub: type[Hub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.h5", random_events(0, 9))
    hub.closed["user/gated"] = "GatedRepo"
    said = dvspipe(*words.replace("NAME", "hf://user/gated").split(), code=2).stderr
    assert said.startswith("dvspipe: hf://user/gated: ")
