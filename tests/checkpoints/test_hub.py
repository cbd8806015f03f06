"""Classifiers on a fake Hugging Face hub: a local server that implements the requests of huggingface_hub."""

from __future__ import annotations

import base64
import hashlib
import json
import pickle
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from commands import dvspipe
from conftest import random_events
from facts import mentions, raises

from dvspipe.base.errors import CheckpointError
from dvspipe.checkpoints.checkpoint import ClassifierConfig, find_checkpoint, save_checkpoint
from dvspipe.checkpoints.hub import HubRepository
from dvspipe.checkpoints.model_card import write_card
from dvspipe.encoding import BinConfig
from dvspipe.formats import write
from dvspipe.inference import Classifier
from dvspipe.networks import CsnnConfig
from dvspipe.recordings.conversion import convert_many, plan_conversions
from dvspipe.recordings.locking import write_lock
from dvspipe.results import RunFolder, TestResult
from dvspipe.training.evaluation import find_records

CONFIG = ClassifierConfig(
    classes=("left", "right"),
    width=12,
    height=7,
    bins=BinConfig(steps=2),
    network=CsnnConfig(channels=(2,)),
    trained_on="synthetic bars, 40 recordings",
    calibrated_on=8,
)
TEST = {
    "title": "bars",
    "synthetic": True,
    "synthetic_test": True,
    "data": "10 clips of other bars (synthetic)",
    "chosen_epoch": 2,
    "val_accuracy": 0.9,
    "classes": ("left", "right"),
    "confusion": [[4, 1], [0, 5]],
    "calibration_error": 0.1,
    "temperature": 1.2,
    "event_count_accuracy": 0.5,
    "baseline": None,
    "notes": ["a | b\nand <c>"],
    "command": "dvspipe train /home/me/secret",
    "versions": {"dvspipe": "0.2"},
    "machine": {"processor": "mine"},
}


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

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Authorization") != "Bearer hf_good":
            return self.answer(401, b"{}")
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization', 'user')}/{asked['name']}"
            self.repositories.setdefault(name, {})
            return self.send_json({"url": f"http://{self.headers['Host']}/{name}"})
        if self.path == "/api/validate-yaml":
            return self.send_json({"errors": [], "warnings": []})
        _, _, _, user, model, action, _ = self.path.split("/", 6)
        if action == "preupload":
            files = [file["path"] for file in json.loads(body)["files"]]
            return self.send_json(
                {"files": [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in files]}
            )
        added = [line["value"] for line in map(json.loads, body.splitlines()) if line["key"] == "file"]
        commit = hashlib.sha1(body).hexdigest()
        self.repositories[f"{user}/{model}"][commit] = {
            file["path"]: base64.b64decode(file["content"]) for file in added
        }
        url = f"http://{self.headers['Host']}/{user}/{model}/commit/{commit}"
        return self.send_json({"success": True, "commitOid": commit, "commitUrl": url, "hookOutput": ""})

    def send_json(self, value: object) -> None:
        self.answer(200, json.dumps(value).encode(), Content_Type="application/json")

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
    monkeypatch.setenv("HF_TOKEN", "hf_good")
    return Hub


def write_run(folder: Path, **changes: Any) -> RunFolder:
    run = RunFolder(folder)
    save_checkpoint(run.best, CONFIG, CONFIG.build_network())
    run.config.write_text(f"data: {{kind: folder, root: {folder}}}\nbins: {{steps: 2}}\noptimiser: {{epochs: 7}}\n")
    TestResult.model_validate(TEST | changes).write(run.test)
    return run


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return write_run(tmp_path / "run")


def test_pushed_classifier_loads_pinned_to_its_commit(hub: type[Hub], run: RunFolder) -> None:
    classifier = Classifier.load(run.path)
    pinned = classifier.push_to_hub("user/bars", license="mit")
    back = Classifier.load("hf://user/bars")
    assert back.digest == classifier.digest
    assert back.checkpoint == pinned
    (commit,) = hub.repositories["user/bars"]
    assert pinned == f"hf://user/bars@{commit}"
    assert sorted(hub.repositories["user/bars"][commit]) == ["README.md", "config.json", "model.safetensors"]


def test_revision_loads_after_newer_commits_and_from_cache(hub: type[Hub], run: RunFolder) -> None:
    first = Classifier.load(run.path)
    pinned = first.push_to_hub("user/twice")
    save_checkpoint(run.best, CONFIG, CONFIG.build_network())
    second = Classifier.load(run.path)
    second.push_to_hub("hf://user/twice")
    assert Classifier.load("hf://user/twice").digest == second.digest
    assert Classifier.load(pinned).digest == first.digest
    hub.asked.clear()
    assert find_checkpoint(pinned).is_file()
    assert hub.asked == []


def test_card_contains_the_records_without_paths(run: RunFolder) -> None:
    card = write_card("user/bars", CONFIG, find_records(str(run.path)), "mit")
    _, head, body = card.split("---\n", 2)
    metadata = yaml.safe_load(head)
    assert (metadata["license"], metadata["library_name"]) == ("mit", "dvspipe")
    assert {"event-camera", "synthetic"} <= set(metadata["tags"])
    assert metadata["model-index"][0]["results"][0]["metrics"] == [{"type": "accuracy", "value": 0.9}]
    facts = ("90.0%", "9 of 10", "left", "80.0% of 5", "epochs: 7", "synthetic", "8 recordings", "dvspipe 0.2")
    assert mentions(body, *facts, "a \\| b and \\<c>", 'Classifier.load("hf://user/bars")')
    assert str(run.path) not in card
    assert "secret" not in card


def test_card_of_real_data_is_not_tagged_synthetic(tmp_path: Path) -> None:
    run = write_run(tmp_path / "real", synthetic=False, synthetic_test=False)
    real = CONFIG.model_copy(update={"trained_on": "bars"})
    card = write_card("user/bars", real, find_records(str(run.best)), "mit")
    assert "synthetic" not in card.replace("(synthetic)", "")  # the description of its test may contain the word


def test_card_without_records_states_missing_test(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "alone.safetensors", CONFIG, CONFIG.build_network())
    assert find_records(str(tmp_path / "alone.safetensors")) is None
    card = write_card("user/bars", CONFIG, None, "unknown")
    assert "model-index" not in card
    assert "- synthetic" in card


def test_records_describe_the_chosen_epoch(run: RunFolder) -> None:
    save_checkpoint(run.last, CONFIG, CONFIG.build_network())
    assert find_records(str(run.last)) is None


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


def test_a_missing_gated_or_foreign_repository_is_one_line(hub: type[Hub], run: RunFolder) -> None:
    assert "hf://user/missing" in load_error("hf://user/missing")
    hub.closed["user/gated"] = "GatedRepo"
    assert "gated" in load_error("hf://user/gated")
    Classifier.load(run.path).push_to_hub("user/here")
    assert "v9" in load_error("hf://user/here@v9")
    hub.repositories["user/pickles"] = {"c1": {"pytorch_model.bin": pickle.dumps({})}}
    assert "model.safetensors" in load_error("hf://user/pickles")


def test_weights_of_other_programs_are_not_downloaded(hub: type[Hub]) -> None:
    hub.repositories["user/llm"] = {"c2": {"config.json": b'{"model_type": "llama"}', "model.safetensors": b"large"}}
    assert "None" in load_error("hf://user/llm")
    assert not any("safetensors" in asked for asked in hub.asked)


@pytest.mark.parametrize("content", [b"[1]", b"\xff{", b"{"])
def test_invalid_config_json_is_a_clear_error(hub: type[Hub], content: bytes) -> None:
    hub.repositories["user/odd"] = {hashlib.sha1(content).hexdigest(): {"config.json": content}}
    assert "config.json" in load_error("hf://user/odd")


def test_pickled_weights_are_rejected(hub: type[Hub]) -> None:
    described = json.dumps({"format": "dvspipe-classifier-1"}).encode()
    hub.repositories["user/evil"] = {"c3": {"config.json": described, "model.safetensors": pickle.dumps([print])}}
    assert "hf://user/evil@c3" in load_error("hf://user/evil")


def test_push_without_login_fails(hub: type[Hub], run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with raises(CheckpointError, "hf://user/bars"):
        Classifier.load(run.path).push_to_hub("user/bars")
    assert hub.repositories == {}


def test_cached_model_loads_offline(hub: type[Hub], run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hub.repositories == {}
    import huggingface_hub

    classifier = Classifier.load(run.path)
    classifier.push_to_hub("user/cached")
    Classifier.load("hf://user/cached")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert Classifier.load("hf://user/cached").digest == classifier.digest
    assert "hf://user/never" in load_error("hf://user/never")
    with raises(CheckpointError, "hf://user/cached"):
        classifier.push_to_hub("user/cached")


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


@pytest.mark.parametrize("license_of_sources", ["cc-by-4.0", None])
def test_data_set_is_uploaded_as_its_licences_allow(
    hub: type[Hub], tmp_path: Path, license_of_sources: str | None
) -> None:
    write(tmp_path / "in/wave/a[1].raw", random_events(0, 50))
    tasks = plan_conversions(tmp_path / "in", tmp_path / "out")
    assert all(done.error is None for done in convert_many(tasks))
    write_lock(tmp_path / "out", tasks, license=license_of_sources)
    assert "README.md" in dvspipe("data", "push", tmp_path / "out", "hf://user/waves", code=2).stderr
    dvspipe("data", "card", tmp_path / "out")
    pushed = dvspipe("data", "push", tmp_path / "out", "hf://user/waves")

    (commit,) = hub.repositories["user/waves"]
    assert pushed.stdout.strip() == f"hf://user/waves@{commit}"
    recipe = ["README.md", "croissant.json", "dataset.lock"]
    assert sorted(hub.repositories["user/waves"][commit]) == recipe + ["wave/a[1].h5"] * bool(license_of_sources)
    assert ("without a licence" in pushed.stderr) is (license_of_sources is None)
