"""The page without a browser: the files it may read, the work of its tabs, and what the server delivers."""

from __future__ import annotations

import gc
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import INTERRUPTED, dvspipe
from conftest import random_events
from facts import raises
from filmed import make_film, make_track

from dvspipe.base.errors import ConfigError, DataError, DvspipeError, FileError, WorkerError
from dvspipe.base.progress import Progress, ignore_progress
from dvspipe.events.filter_config import FilterConfig
from dvspipe.formats import read, write
from dvspipe.recordings.config import ConvertConfig
from dvspipe.recordings.info import info
from dvspipe.video.frames import frames_from_arrays
from dvspipe.video.writing import write_video

pytest.importorskip("gradio", reason="the extra app is not installed")

import gradio as gr

from dvspipe.app import AppSettings, Served, serve, tasks
from dvspipe.app.explore import read_filters, read_part
from dvspipe.app.files import MAX_NAMES, Files, renew
from dvspipe.app.learn import name_gesture
from dvspipe.app.parts import Page, Site, show_file
from dvspipe.app.video import IDEAL, KNOBS, read_sensor, set_knobs, write_command
from dvspipe.app.work import Report
from dvspipe.simulator.config import list_presets

# Gradio leaves sockets and event loops to garbage collection, at any time after a server has ended.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:unclosed event loop:ResourceWarning"),
    # The statistics of Gradio's queue.
    pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting' is deprecated"),
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),
]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    found = Files(tmp_path / "folder", tmp_path / "root")
    for folder in (found.folder, found.uploads, found.results):
        folder.mkdir(parents=True)
    return found


@pytest.fixture
def site(files: Files) -> Iterator[Site]:
    opened = Site(files)
    yield opened
    opened.workers.close()


def write_bar(path: Path, frames: int) -> Path:
    """Write a video of 400 x 100 pixels with a moving bright bar."""
    pictures = np.full((frames, 100, 400), 60, np.uint8)
    for number, picture in enumerate(pictures):
        picture[20:80, 6 * number : 6 * number + 40] = 200
    write_video(path, frames_from_arrays(list(pictures), fps=20))
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of three seconds."""
    return write_bar(tmp_path_factory.mktemp("videos") / "my bar.webm", frames=60)


# Files


def test_only_files_below_the_folder_are_read(files: Files, tmp_path: Path) -> None:
    inside, outside = files.folder / "a.h5", tmp_path / "secret.h5"
    inside.touch()
    outside.touch()
    (files.folder / "link.h5").symlink_to(outside)
    assert files.choose(None, "a.h5") == files.choose("upload.h5", "a.h5") == inside.resolve()
    assert files.choose("upload.h5", "") == Path("upload.h5")
    (files.folder / "mixed").mkdir()
    for name in ("1.png", "clip.mp4"):
        (files.folder / "mixed" / name).touch()
    with raises(FileError, "mixed", "1 image", "1 video", "another folder"):
        files.choose(None, "mixed")
    for name in ("../secret.h5", str(outside), "link.h5", "/etc/passwd", "missing.h5"):
        with raises(FileError, Path(name).name):
            files.resolve(name)
    for name in ("a\0b", "a" * 10_000):
        with raises(FileError) as caught:
            files.resolve(name)
        assert len(files.describe(caught.value)) < 300
    with raises(ConfigError, "no file"):
        files.choose(None, None)


def test_hidden_files_are_not_listed(files: Files) -> None:
    for name in ("b.h5", "deep/a.raw", ".git/c.h5", ".d.h5", "deep/notes.pdf", "clip.mp4", "net.safetensors"):
        (files.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (files.folder / name).touch()
    assert files.list_recordings() == ["b.h5", "deep/a.raw"]
    assert files.list_videos() == ["clip.mp4"]
    assert files.list_checkpoints()[-1] == "net.safetensors"
    assert files.find_checkpoint("gesture") == "gesture"
    for number in range(MAX_NAMES):
        (files.folder / f"{number}.h5").touch()
    assert len(files.list_recordings()) == MAX_NAMES


def test_folder_of_a_page_is_safe_for_any_session(files: Files) -> None:
    assert files.of_page("../../escape").parent == files.results


def test_previous_results_are_kept_for_the_browser(tmp_path: Path) -> None:
    first, second = renew(tmp_path / "shown"), renew(tmp_path / "shown")
    assert first.is_dir()
    third = renew(tmp_path / "shown")
    assert {second, third} == set((tmp_path / "shown").iterdir())


def test_errors_name_files_without_folders(files: Files) -> None:
    error = FileError(f"{files.root.resolve()}/uploads/12ab/clip.mp4: is corrupted; use fit=scale")
    assert files.describe(error) == "clip.mp4: is corrupted; use fit=scale"
    assert files.describe(FileError(f"{files.folder}/deep/a.h5: is empty")) == "deep/a.h5: is empty"


# Work


def double(number: int, progress: Progress) -> int:
    progress(1, 2)
    if number < 0:
        raise DataError("a <b> number is wrong")
    return 2 * number


def crash(_: Progress) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def wait(_: Progress) -> None:
    time.sleep(600)


def test_crash_and_stop_end_the_work_alone(site: Site) -> None:
    reports: list[Report] = []

    def call(function: Any, *arguments: Any) -> Any:
        return site.workers.call("working", function, *arguments, report=reports.append)

    def run(steps: Any) -> Any:
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value
            assert site.workers.running == ["working"]

    assert run(call(double, 4)) == 8
    assert reports[0] == Report(1, 2)
    with raises(DataError, "number"):
        run(call(double, -1))
    with raises(WorkerError, "crashed"):
        run(call(crash))
    stopped = call(wait)
    next(stopped)
    stopped.close()
    assert run(call(double, 5)) == 10
    assert not site.workers.running


@dataclass(frozen=True)
class Request:
    session_hash: str = "x"


def test_errors_become_messages(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    def answer(error: Exception | None) -> list[Any]:
        def work(_: Page) -> Iterator[Any]:
            if error is not None:
                raise error
            yield 7

        return list(site.handler(work)(Request(), None))

    assert answer(None)[-1] == 7
    for error, text in (
        (ConfigError("a <b> setting is wrong"), "a &lt;b&gt; setting"),
        (OSError(28, os.strerror(28)), os.strerror(28)),
        (gr.Error("shown"), "shown"),
    ):
        with pytest.raises(gr.Error, match=text):
            answer(error)
    assert not caplog.records
    with pytest.raises(gr.Error, match="ZeroDivisionError"):
        answer(ZeroDivisionError())
    assert "ZeroDivisionError" in caplog.text


# Tabs


@pytest.mark.parametrize("preset", [IDEAL, *list_presets()])
def test_every_preset_fits_the_sliders(preset: str) -> None:
    values = set_knobs(preset)
    for knob, value in zip(KNOBS, values, strict=True):
        assert knob.least <= value <= knob.most, knob.name
    assert "thres" not in write_command("a.mp4", preset, "off", *values)


def test_shown_command_gives_the_same_events(video: Path, tmp_path: Path) -> None:
    values = [*set_knobs("v2e")]
    values[0], values[-1] = 0.35, 2.0
    dvspipe(*shlex.split(write_command(str(video), "v2e", "2", *values))[1:], cwd=tmp_path)
    made = tasks.write(video, ".h5", read_sensor("v2e", "2", *values), tmp_path, ignore_progress)
    typed = info(tmp_path / "events.h5").attributes["settings"]
    assert typed == info(made).attributes["settings"]
    assert typed["refractory_period"] == 0.002


def test_excerpt_is_small_and_changes_with_the_sensor(video: Path, tmp_path: Path) -> None:
    excerpt = tasks.read_excerpt(video, 0.5)
    assert (excerpt.size.width, excerpt.size.height) == (256, 64)
    assert excerpt.frames[0].t_us == 0
    assert 1_800_000 < excerpt.frames[-1].t_us <= 2_000_000
    films = []
    for threshold in (0.2, 0.6):
        config = ConvertConfig(pos_thres=threshold, neg_thres=threshold)
        path, last_start_s = tasks.preview(video, 0.5, config, renew(tmp_path / "shown"), ignore_progress)
        films.append(path.read_bytes())
        assert last_start_s == 1.0
    assert films[0] != films[1]


@pytest.mark.parametrize("suffix", [".h5", ".aedat4", ".webm", ".png"])
def test_video_is_written_in_every_format(suffix: str, video: Path, tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(b"")
    path = tasks.write(video, suffix, ConvertConfig(), renew(tmp_path / "made"), ignore_progress)
    assert path.name == f"my bar{suffix}"
    assert suffix not in tasks.EVENT_SUFFIXES or len(read(path)) > 1000
    assert path.stat().st_size > 1000


def test_part_of_a_recording_is_shown_and_written(tmp_path: Path) -> None:
    events = random_events(1, 6000)
    write(tmp_path / "a.h5", events)
    part = read_part(None, 0.05, " 10x6+1+0 ")
    filters = read_filters(hot=False, refractory_ms=1.0, activity_ms=0)
    assert filters == FilterConfig(refractory_us=1000)
    whole = read(tasks.edit(tmp_path / "a.h5", part, FilterConfig(), ".h5", renew(tmp_path / "made"), ignore_progress))
    clean = tasks.edit(tmp_path / "a.h5", part, filters, ".csv", renew(tmp_path / "made"), ignore_progress)
    assert str(whole.sensor) == "10x6"
    assert 0 < len(clean.read_text().splitlines()) < len(whole) < len(events)
    assert list(clean.parent.iterdir()) == [clean]
    for kind in (".png", ".webm", *tasks.CHARTS):
        assert tasks.look(tmp_path / "a.h5", part, kind, renew(tmp_path / "seen"), ignore_progress).stat().st_size
    assert "6,000" in tasks.describe(tmp_path / "a.h5", ignore_progress)
    with pytest.raises(DvspipeError):
        tasks.edit(tmp_path / "a.h5", read_part(2.0, 1.0, ""), filters, ".h5", tmp_path, ignore_progress)


@pytest.mark.parametrize("name", ["", "  ", "../x", "a/b", ".hidden", "-o", "x" * 41, "a\0b"])
def test_unsuitable_name_of_a_gesture_is_an_error(name: str) -> None:
    with raises(ConfigError):
        name_gesture(name)


def test_training_names_films_without_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "films" / "up").mkdir(parents=True)
    make_film(tmp_path / "films" / "up" / "up-1.webm")
    monkeypatch.setattr("dvspipe.oneshot.learning.track", lambda *_, **__: make_track(0.15, 1))
    taught = tasks.teach(tmp_path / "films", False, tmp_path / "mine", ignore_progress)
    assert taught.summary.startswith("up/up-1.webm: up")
    assert taught.archive.is_file()


# Server


def test_other_machines_need_a_password(tmp_path: Path) -> None:
    with raises(ConfigError, "password"):
        AppSettings(tmp_path, host="0.0.0.0").check()
    AppSettings(tmp_path, host="0.0.0.0", password="secret").check()
    AppSettings(tmp_path, max_upload="3 gb").check()
    with raises(ConfigError, "size"):
        AppSettings(tmp_path, max_upload="much").check()
    with raises(FileError, "missing"):
        AppSettings(tmp_path / "missing").check()


def at(served: Served, path: str) -> str:
    """Return the address of a path of the app."""
    return f"{served.address}{path}"


def get(address: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(address, body, headers), timeout=60) as response:
            return response.status, response.read(), dict(response.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read(), dict(error.headers)


@contextmanager
def serve_quietly(settings: AppSettings) -> Iterator[Served]:
    """Serve the app and ignore warnings about sockets and an event loop that Gradio leaves open."""
    with ExitStack() as stack:
        with ignore_unclosed():
            found = stack.enter_context(serve(settings))
        yield found
        with ignore_unclosed():
            stack.close()


@contextmanager
def ignore_unclosed() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        time.sleep(0.2)  # let the thread of the server end
        gc.collect()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    write(folder / "recording.h5", random_events(0, 100))
    with serve_quietly(AppSettings(folder, max_upload="1MB")) as found:
        yield found


def page_folder(served: Served, session: str) -> Path:
    folder = served.site.files.of_page(session)
    folder.mkdir(exist_ok=True)
    return folder


def test_requests_for_another_host_are_refused(served: Served) -> None:
    assert get(served.address, Host="attacker.example")[0] == 400


def test_server_delivers_only_results(served: Served) -> None:
    folder = page_folder(served, "mine")
    (folder / "player.html").write_text("<p>hello</p>", encoding="utf-8")
    status, page, headers = get(at(served, f"gradio_api/file={folder}/player.html"))
    assert (status, page) == (200, b"<p>hello</p>")
    assert headers["content-type"].startswith("text/html")
    secrets = (
        "/etc/passwd",
        Path(__file__),
        served.site.files.folder / "recording.h5",
        f"{folder}/../../../../etc/passwd",
    )
    for secret in secrets:
        assert get(at(served, f"gradio_api/file={secret}"))[0] == 403, secret


def call_page(served: Served, upload: dict[str, str]) -> bool:
    """Choose an upload as a browser does, and return whether the page accepts it."""
    config = json.loads(get(at(served, "config"))[1])
    files = [each["id"] for each in config["components"] if each["type"] == "file"]
    changes = ([number, "change"] for number in files)
    (function,) = (each["id"] for change in changes for each in config["dependencies"] if change in each["targets"])

    file = {**upload, "meta": {"_type": "gradio.FileData"}}
    call = {"fn_index": function, "data": [file], "session_hash": "mine", "event_data": None}
    joined = get(at(served, "gradio_api/queue/join"), json.dumps(call).encode(), **{"Content-Type": "application/json"})
    assert joined[0] == 200

    _, messages, _ = get(at(served, "gradio_api/queue/data?session_hash=mine"))
    (done,) = (line for line in messages.decode().splitlines() if "process_completed" in line)
    return bool(json.loads(done.removeprefix("data: "))["success"])


def upload(served: Served, data: bytes) -> tuple[int, bytes]:
    """Upload a file, and return the status and the text of the response."""
    parts = (b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.csv"\r\n\r\n', data, b"\r\n--x--\r\n")
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    status, body, _ = get(at(served, "gradio_api/upload"), b"".join(parts), **form)
    return status, body


def test_page_takes_uploads_and_no_other_files(served: Served) -> None:
    _, body = upload(served, b"# sensor 12x7\nt,x,y,p\n0,1,2,1\n")
    (path,) = json.loads(body)
    assert call_page(served, {"path": path})
    theirs = page_folder(served, "theirs") / "a.csv"
    theirs.touch()
    for wrong in ("/etc/hostname", str(theirs)):
        assert not call_page(served, {"path": wrong})


def test_embedded_page_has_title_and_escaped_url(served: Served) -> None:
    page = page_folder(served, "mine") / 'a "b".html'
    page.write_text("", encoding="utf-8")
    shown = show_file(page, "Video & events")
    assert 'title="Video &amp; events"' in shown
    assert "%22b%22.html" in shown


def test_large_upload_is_refused(served: Served) -> None:
    status, _ = upload(served, bytes(2 << 20))
    assert status == 413


def test_other_origins_cannot_read_or_call(served: Served) -> None:
    for origin, allowed in ((served.address.rstrip("/"), True), ("https://attacker.example", False), ("null", False)):
        _, _, headers = get(at(served, "config"), Origin=origin)
        assert ("access-control-allow-origin" in headers) == allowed, origin

    # Browsers send text without asking the server first.
    call = json.dumps({"fn_index": 0, "data": [], "session_hash": "mine"}).encode()
    assert get(at(served, "gradio_api/queue/join"), call, **{"Content-Type": "text/plain"})[0] == 422


def test_password_protects_page_and_files(tmp_path: Path) -> None:
    with serve_quietly(AppSettings(tmp_path, password="secret")) as found:
        root = found.site.files.root
        page = page_folder(found, "mine") / "a.html"
        page.touch()
        for path in ("config", f"gradio_api/file={page}", "gradio_api/queue/data?session_hash=mine"):
            assert get(at(found, path))[0] == 401, path
        assert upload(found, b"film")[0] == 401
        assert get(at(found, "login"), b"username=dvspipe&password=wrong")[0] == 400

        _, _, headers = get(at(found, "login"), b"username=dvspipe&password=secret")
        cookie, _, _ = headers["set-cookie"].partition(";")
        assert get(at(found, f"gradio_api/file={page}"), Cookie=cookie)[0] == 200
        assert root.is_dir()
    assert not root.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_server_removes_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    seen: list[object] = []

    @contextmanager
    def pretend(_: AppSettings) -> Iterator[Served]:
        try:
            yield Served("http://127.0.0.1:1/", Site(Files(tmp_path, tmp_path)))
        finally:
            seen.append("files removed")

    monkeypatch.setattr("dvspipe.app.serve", pretend)
    monkeypatch.setattr("dvspipe.app.command.time.sleep", lambda _: signal.raise_signal(number))
    done = dvspipe("app", tmp_path, "--no-browser", cwd=tmp_path, code=None)
    assert done.returncode == INTERRUPTED
    assert seen == ["files removed"]


def test_port_in_use_is_an_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, ignore_unclosed():
        settings = AppSettings(tmp_path, port=taken.getsockname()[1])
        with raises(ConfigError, "port", settings.port), serve(settings):
            pass


def test_help_loads_neither_torch_nor_gradio() -> None:
    code = """
import sys
from dvspipe.cli.app import run
run(["app", "--help"])
print(*{name.split('.')[0] for name in sys.modules})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--password" in done.stdout
    assert not {"torch", "gradio"} & set(done.stdout.splitlines()[-1].split())
