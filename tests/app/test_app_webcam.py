"""Live webcam of the app, without a browser."""

from __future__ import annotations

import errno
import io
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import BAR_CLASSES, BAR_SENSOR
from facts import mentions, raises
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient
from untrained import untrained_config, untrained_network

from dvspipe.base.errors import ConfigError, VideoError
from dvspipe.events import SensorSize
from dvspipe.formats import read
from dvspipe.inference import Classifier

pytest.importorskip("gradio", reason="the extra app is not installed")

from dvspipe.app import cameras as cameras_module
from dvspipe.app.cameras import (
    EVENT_FILE,
    MAX_CAMERAS,
    MAX_WEBCAM_PX,
    MIN_ENTER,
    UNSURE,
    Cameras,
    LiveCamera,
    LiveView,
    read_jpeg,
)
from dvspipe.app.webcam import camera_routes
from dvspipe.app.workspace import Session, Workspace

SIZE = SensorSize(width=64, height=48)
PATIENCE_S = 120.0  # test machines are slow and busy
STEP_US = 20_000


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    """Network with random weights; it is never certain."""
    config = untrained_config({"steps": 5, "step_us": STEP_US})
    return Classifier(config, untrained_network(config, gain=1.0))


@pytest.fixture
def camera(classifier: Classifier, tmp_path: Path) -> Iterator[LiveCamera]:
    opened = LiveCamera(classifier, lambda: tmp_path)
    yield opened
    opened.stop()


def jpeg(number: int, size: SensorSize = SIZE) -> bytes:
    """Picture of a bright bar that moves."""
    picture = np.full((size.height, size.width, 3), 60, np.uint8)
    left = 4 * number % (size.width - 10)
    picture[:, left : left + 10] = 220
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG")
    return file.getvalue()


def push_until(camera: LiveCamera, is_reached: Callable[[LiveView], bool], first: int = 0) -> LiveView:
    """Push pictures until the page shows something; a camera needs time to start."""
    deadline, number = time.monotonic() + PATIENCE_S, first
    while time.monotonic() < deadline:
        view = camera.push(40_000 * number, jpeg(number))
        if is_reached(view):
            return view
        number += 1
        time.sleep(0.01)
    pytest.fail("the camera shows nothing new")


# Pictures


def test_pictures_become_events_and_two_guesses_with_a_reason(camera: LiveCamera) -> None:
    events = push_until(camera, lambda view: bool(view.events)).events
    assert events.startswith("data:image/png;base64,")
    view = push_until(camera, lambda view: bool(view.guesses), first=10_000)
    best, second = view.guesses
    assert 1 >= best.probability >= second.probability >= 0
    assert {best.name, second.name} < set(BAR_CLASSES)
    assert view.doubt == UNSURE
    assert view.pictures_per_s > 0
    assert json.loads(view.to_json())["guesses"][0] == {"name": best.name, "probability": best.probability}


def test_lower_limit_makes_the_same_label_certain(camera: LiveCamera) -> None:
    camera.enter = 1.0
    assert push_until(camera, lambda view: bool(view.guesses)).doubt
    camera.enter = MIN_ENTER
    assert push_until(camera, lambda view: not view.doubt, first=10_000).guesses[0].probability >= MIN_ENTER


def test_events_are_recorded_until_the_end(camera: LiveCamera, tmp_path: Path) -> None:
    push_until(camera, lambda view: bool(view.guesses))
    camera.record(10_000_000)
    assert camera.recording == tmp_path
    push_until(camera, lambda view: view.t_us > 20_000_000, first=500)
    camera.stop_recording()
    recorded = read(tmp_path / EVENT_FILE)
    assert recorded.sensor == BAR_SENSOR
    assert 0 <= recorded.t[0] <= recorded.t[-1] < 20_000_000  # on the clock of the film, which starts at 10 s


def test_stop_completes_the_recording(camera: LiveCamera, tmp_path: Path) -> None:
    push_until(camera, lambda view: bool(view.guesses))
    camera.record(0)
    camera.stop()
    assert read(tmp_path / EVENT_FILE).sensor == BAR_SENSOR


def test_late_pictures_are_dropped_and_counted(camera: LiveCamera) -> None:
    push_until(camera, lambda view: bool(view.guesses))
    before = camera.push(60_000_000, jpeg(0)).dropped
    after = [camera.push(t_us, jpeg(1)).dropped for t_us in (59_000_000, 60_000_000)]
    assert after[-1] >= before + 2


def test_error_of_the_classification_reaches_the_page(camera: LiveCamera) -> None:
    push_until(camera, lambda view: bool(view.guesses))
    other = SensorSize(width=32, height=24)
    deadline, t_us = time.monotonic() + PATIENCE_S, 10**10
    with pytest.raises(VideoError) as error:
        while time.monotonic() < deadline:
            t_us += 40_000
            camera.push(t_us, jpeg(0, other))
    assert mentions(str(error.value), other, SIZE)
    assert camera.has_ended


@pytest.mark.parametrize("data", [b"", b"no picture", jpeg(0)[:100]])
def test_other_data_is_refused(data: bytes) -> None:
    with raises(VideoError, "JPEG"):
        read_jpeg(data)


def test_large_pictures_are_refused() -> None:
    with raises(VideoError, MAX_WEBCAM_PX):
        read_jpeg(jpeg(0, SensorSize(width=MAX_WEBCAM_PX + 1, height=8)))


# Cameras of sessions


def test_number_of_cameras_is_limited_and_closed_ones_are_freed(classifier: Classifier, tmp_path: Path) -> None:
    cameras = Cameras()
    keys = [cameras.open(f"page {number}", classifier, lambda: tmp_path) for number in range(MAX_CAMERAS)]
    assert len(set(keys)) == MAX_CAMERAS
    with raises(ConfigError, MAX_CAMERAS):
        cameras.open("another page", classifier, lambda: tmp_path)
    again = cameras.open("page 0", classifier, lambda: tmp_path)  # replaces the camera of the session
    assert cameras.find(keys[0]) is None
    assert cameras.find(again) is not None
    cameras.close_session("page 1")
    assert cameras.open("another page", classifier, lambda: tmp_path)
    cameras.close_all()
    assert not cameras.sessions


def test_camera_without_pictures_is_freed(
    classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cameras = Cameras()
    key = cameras.open("page", classifier, lambda: tmp_path)
    camera = cameras.find(key)
    assert camera is not None
    push_until(camera, lambda view: bool(view.guesses))
    monkeypatch.setattr(cameras_module, "IDLE_S", 0.0)
    assert cameras.find(key) is None
    deadline = time.monotonic() + PATIENCE_S
    while camera.is_running and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not camera.is_running


# Requests


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Workspace]:
    (tmp_path / "folder").mkdir()
    opened = Workspace(tmp_path / "folder", (tmp_path / "root").resolve())
    opened.sessions.mkdir(parents=True)
    opened.uploads.mkdir()
    yield opened
    opened.cameras.close_all()


@pytest.fixture
def client(space: Workspace) -> TestClient:
    return TestClient(Starlette(routes=camera_routes(space)))


@pytest.fixture
def session(space: Workspace) -> Session:
    return space.open("page")


@pytest.fixture
def address(space: Workspace, session: Session, classifier: Classifier) -> str:
    key = space.cameras.open(session.name, classifier, lambda: session.new_folder("webcam"))
    return f"/webcam/{key}"


def test_only_open_cameras_take_pictures(client: TestClient, address: str, space: Workspace) -> None:
    assert client.post("/webcam/guessed?t_us=0", content=jpeg(0)).status_code == 410
    found = client.post(f"{address}?t_us=0", content=jpeg(0))
    assert found.status_code == 200
    assert found.json()["doubt"]
    assert client.delete(address).status_code == 200
    assert client.post(f"{address}?t_us=40000", content=jpeg(0)).status_code == 410
    assert not space.cameras.sessions


@pytest.mark.parametrize("query", ["", "?t_us=-1", "?t_us=1e3", "?t_us=" + 30 * "9"])
def test_wrong_times_are_explained(client: TestClient, address: str, query: str) -> None:
    found = client.post(address + query, content=jpeg(0))
    assert found.status_code == 422
    assert "t_us" in found.json()["message"]


def test_closed_page_frees_its_camera(client: TestClient, address: str, space: Workspace, session: Session) -> None:
    space.close(session.name)
    assert client.post(f"{address}?t_us=0", content=jpeg(0)).status_code == 410


def test_uploaded_film_is_kept_beside_its_events(
    client: TestClient, address: str, space: Workspace, session: Session
) -> None:
    assert client.post(f"{address}/record?t_us=0").status_code == 200
    film = space.uploads / "a1" / "webcam.webm"
    film.parent.mkdir()
    film.write_bytes(b"film")
    assert client.post(f"{address}/film", content=json.dumps({"path": str(film)})).status_code == 200
    (kept,) = session.folder.glob("webcam/*/webcam.webm")
    assert kept.read_bytes() == b"film"
    assert kept.with_name(EVENT_FILE).is_file()
    assert not film.exists()


def test_recording_on_a_full_disk_is_explained(
    client: TestClient, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(LiveCamera, "record", fail)
    answer = client.post(f"{address}/record?t_us=0")
    assert (answer.status_code, answer.json()) == (507, {"message": os.strerror(errno.ENOSPC)})


@pytest.mark.parametrize("name", ["folder/secret.webm", "/etc/hostname", "root/uploads/a.txt"])
def test_only_uploaded_films_are_kept(client: TestClient, address: str, tmp_path: Path, name: str) -> None:
    client.post(f"{address}/record?t_us=0")
    path = tmp_path / name
    if path.is_relative_to(tmp_path):
        path.write_bytes(b"content")
    found = client.post(f"{address}/film", content=json.dumps({"path": str(path)}))
    assert found.status_code == 422
    assert path.exists()


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"path": 3}'])
def test_wrong_body_of_a_film_is_explained(client: TestClient, address: str, body: bytes) -> None:
    assert client.post(f"{address}/film", content=body).status_code == 422
