"""App without a browser: its tabs, the files it may read, and the files that the server delivers."""

from __future__ import annotations

import errno
import gc
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import INTERRUPTED, dvspipe
from conftest import random_events
from facts import mentions, raises

from dvspipe.base.errors import ConfigError, DvspipeError, FileError
from dvspipe.base.progress import ignore_progress
from dvspipe.events import Events, SensorSize, merge_streams
from dvspipe.events.filter_config import FILTERS, FilterConfig
from dvspipe.formats import Hints, open_recording, read, write
from dvspipe.recordings.info import info
from dvspipe.report import PreviewColours, PreviewMode
from dvspipe.report.style import EVENT_PALETTES
from dvspipe.video.frames import frames_from_arrays
from dvspipe.video.opening import open_video
from dvspipe.video.writing import write_video

pytest.importorskip("gradio", reason="the extra app is not installed")

import gradio as gr

from dvspipe.app import AppSettings, Served, check_app, serve
from dvspipe.app.answers import SHIPPED_NAMES
from dvspipe.app.conversion import (
    IDEAL,
    KNOBS,
    Choices,
    export,
    knobs_of,
    last_start_s,
    read_choices,
    read_excerpt,
    sensors,
    show_excerpt,
)
from dvspipe.app.examples import SAMPLE
from dvspipe.app.explorer import (
    Cut,
    Explored,
    PictureChoices,
    draw_picture,
    explore,
    plot_space_time,
    read_cut,
    write_cut,
)
from dvspipe.app.jobs import PageWork, StagedProgress, Stopped, WorkProgress
from dvspipe.app.shared import ChosenFile, copy_recorded, follow, handle, name_session, show_page
from dvspipe.app.workspace import Workspace, safe_stem

IDEAL_CHOICES = Choices(IDEAL, knobs_of(IDEAL), "off")

# Gradio leaves sockets and event loops to garbage collection, at any time after a server has ended.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:unclosed event loop:ResourceWarning"),
    # The statistics of Gradio's queue.
    pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting' is deprecated"),
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),
]


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    (tmp_path / "folder").mkdir()
    (tmp_path / "root").mkdir()
    return Workspace(tmp_path / "folder", tmp_path / "root")


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


@pytest.fixture(scope="module")
def short_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of a fifth of a second."""
    return write_bar(tmp_path_factory.mktemp("videos") / "my bar.webm", frames=4)


# Files that the app reads and writes


def test_only_files_below_the_folder_are_read(space: Workspace, tmp_path: Path) -> None:
    inside, outside = space.folder / "a.h5", tmp_path / "secret.h5"
    inside.touch()
    outside.touch()
    (space.folder / "link.h5").symlink_to(outside)
    assert space.resolve("a.h5") == inside.resolve()
    for name in ("../secret.h5", str(outside), "link.h5", "/etc/passwd"):
        with raises(FileError, Path(name).name):
            space.resolve(name)
    with raises(FileError, "missing.h5"):
        space.resolve("missing.h5")


def test_hidden_files_and_answers_are_not_listed(space: Workspace) -> None:
    answer = ("answers/clip/answer.json", "answers/clip/overlay.webm")
    for name in ("b.h5", "deep/a.raw", ".git/c.h5", ".d.h5", "deep/notes.pdf", "clip.mp4", *answer):
        (space.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (space.folder / name).touch()
    assert space.list_recordings() == ["b.h5", "deep/a.raw"]
    assert space.list_videos() == ["clip.mp4"]


def test_session_folder_is_safe_for_any_session_name(space: Workspace) -> None:
    folder = space.open(name_session(Request("../../escape"))).folder
    assert folder.parent == space.sessions
    space.close(folder.name)
    assert not folder.exists()


@pytest.mark.parametrize(("name", "stem"), [("../a b!.mp4", "a-b"), ("...", "events"), ("<script>.mp4", "script")])
def test_output_names_are_safe(name: str, stem: str) -> None:
    assert safe_stem(name) == stem


def test_previous_folder_is_kept_for_the_browser(space: Workspace) -> None:
    session = space.open("mine")
    first, second = session.new_folder("shown"), session.new_folder("shown")
    assert first.is_dir()
    assert second.is_dir()
    third = session.new_folder("shown")
    assert not first.exists()
    assert {second, third} == set((session.folder / "shown").iterdir())


def test_error_shows_the_file_without_its_folder(space: Workspace) -> None:
    error = FileError(f"{space.root}/uploads/12ab/clip.mp4: is corrupted; use fit=scale")
    assert space.describe(error) == "clip.mp4: is corrupted; use fit=scale"
    assert space.describe(FileError(f"{space.folder}/deep/a.h5: is empty")) == "deep/a.h5: is empty"


# Long work


def work_on(space: Workspace, work: PageWork[object], status: Any = "status") -> Any:
    return follow(space.open("a"), status, "working", work, lambda result: {"result": result})


def test_work_shows_its_progress_until_its_result(space: Workspace) -> None:
    begun, release = threading.Event(), threading.Event()

    def slow(progress: StagedProgress) -> int:
        progress(1, 2, "reading <b>")
        begun.set()
        release.wait(10)
        return 7

    steps = work_on(space, slow)
    next(steps)
    assert begun.wait(10)
    assert mentions(next(steps)["status"], "working", "reading &lt;b&gt;", "50%", 'value="0.500"')
    release.set()
    *_, last = steps
    assert last == {"status": "", "result": 7}
    assert not space.running


def test_progress_line_shows_the_remaining_time() -> None:
    progress = WorkProgress("converting")
    progress(1, 2)
    progress._begin_s -= 61
    assert "0:01:01 left" in progress.to_html()


def test_error_of_work_is_raised(space: Workspace) -> None:
    def fail(_: StagedProgress) -> None:
        raise ConfigError("wrong")

    with raises(ConfigError, "wrong"):
        list(work_on(space, fail))


def repeat(progress: StagedProgress) -> None:
    """Work until it is stopped."""
    while True:
        progress(1, 10)
        time.sleep(0.01)


def test_stopped_work_ends_at_the_next_progress_call(space: Workspace) -> None:
    here, elsewhere = work_on(space, repeat), work_on(space, repeat, "other status")
    next(here)
    next(elsewhere)
    space.open("a").stop("status")
    with pytest.raises(Stopped, match="working"):
        list(here)
    assert "stopping" not in next(elsewhere)["other status"]
    elsewhere.close()  # as Gradio does if the page is closed
    assert not space.running


def test_new_work_stops_the_previous_one_of_the_same_status_line(space: Workspace) -> None:
    previous = work_on(space, repeat)
    next(previous)
    assert list(work_on(space, lambda _: 1))[-1]["result"] == 1
    with pytest.raises(Stopped):
        list(previous)


@dataclass(frozen=True)
class Request:
    session_hash: str = "x"


def test_handler_errors_are_shown_as_messages(space: Workspace, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: object) -> Iterator[dict[str, str]]:
        raise ConfigError("a <b> setting is wrong")
        yield {}

    def defect(*_: object) -> Iterator[dict[str, str]]:
        raise ZeroDivisionError
        yield {}

    def gone(*_: object) -> Iterator[dict[str, str]]:
        (space.root / "sessions" / "clip.mp4").stat()
        yield {}

    (line,) = handle(space, "status", gone)(Request(), 1)
    assert "clip.mp4: " in line["status"]
    (line,) = handle(space, "status", broken)(Request(), 1)
    assert "a &lt;b&gt; setting is wrong" in line["status"]
    (line,) = handle(space, "status", defect)(Request(), 1)
    assert "ZeroDivisionError" in line["status"]
    assert "Traceback" not in line["status"]
    assert "ZeroDivisionError" in caplog.text


def test_full_disk_is_named_in_one_line(space: Workspace, caplog: pytest.LogCaptureFixture) -> None:
    def write_film(_: object) -> Iterator[dict[str, str]]:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        yield {}

    (line,) = handle(space, "status", write_film)(Request())
    assert os.strerror(errno.ENOSPC) in line["status"]
    assert not caplog.records


def test_handler_without_updates_leaves_the_page_unchanged(space: Workspace) -> None:
    """Otherwise Gradio clears the outputs of a generator that yields nothing."""
    (updates,) = handle(space, "status", lambda *_: iter(()))(Request())
    assert updates == {"status": gr.skip()}


# Conversion


@pytest.mark.parametrize("preset", sensors())
def test_every_preset_fits_the_sliders(preset: str) -> None:
    for knob, value in zip(KNOBS, knobs_of(preset), strict=True):
        assert knob.least <= value <= knob.most, knob.name
    assert not Choices(preset, knobs_of(preset), "off").changed


def test_shown_command_gives_the_same_events(short_video: Path, tmp_path: Path) -> None:
    values = dict(zip([knob.name for knob in KNOBS], knobs_of("v2e"), strict=True))
    values |= {"pos_thres": 0.35, "refractory_period": 2.0}
    choices = Choices("v2e", tuple(values.values()), "2")
    out = tmp_path / "bar.h5"
    dvspipe(*shlex.split(choices.command(str(short_video), str(out)))[1:], cwd=tmp_path)
    stored = info(out).attributes["settings"]
    config = choices.config().for_recording(short_video.name).model_dump()
    assert stored == {name: config[name] for name in stored}
    assert stored["refractory_period"] == 0.002


def test_excerpt_is_small_and_higher_thresholds_give_fewer_events(video: Path, tmp_path: Path) -> None:
    excerpt = read_excerpt(video, 0.5, tmp_path)
    assert (excerpt.size.width, excerpt.size.height) == (256, 64)
    assert excerpt.frames[0].t_us == 0
    assert 1_800_000 < excerpt.frames[-1].t_us <= 2_000_000
    high = Choices(IDEAL, (0.6, 0.6, *knobs_of(IDEAL)[2:]), "off")
    page = tmp_path / "player.html"
    many, few = (show_excerpt(excerpt, choices, page) for choices in (IDEAL_CHOICES, high))
    assert 0 < few.on < many.on
    text = page.read_text(encoding="utf-8")
    assert f"{few.on:,}" in text
    assert 'src="events.webm"' in text
    assert (tmp_path / "events.webm").stat().st_size


def test_excerpt_can_start_anywhere_in_the_video(video: Path) -> None:
    assert last_start_s(video) == 1.0
    assert last_start_s(SAMPLE) == 5.0


def test_video_without_a_duration_is_measured(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = last_start_s(video)
    monkeypatch.setattr("dvspipe.app.conversion.open_video", lambda path: replace(open_video(path), duration_s=0.0))
    assert last_start_s(video) == pytest.approx(known, abs=0.1)


def test_recorded_film_is_copied_for_the_session(space: Workspace, video: Path) -> None:
    session = space.open("page")
    first, second = (copy_recorded(video, session) for _ in range(2))
    assert first.path != second.path  # a browser loads the new one
    for each in (first, second):
        assert re.fullmatch(r"webcam \d\d\.\d\d\.\d\d\.webm", each.name)
        assert each.path.is_relative_to(session.folder)
        assert each.path.read_bytes() == video.read_bytes()


@pytest.mark.parametrize("typed", [None, 0.0, 20.0])
def test_number_out_of_range_is_named(typed: float | None) -> None:
    assert read_choices((IDEAL, *knobs_of(IDEAL), "off", "light")) == (IDEAL_CHOICES, "light")
    with raises(ConfigError, KNOBS[0].label, typed, KNOBS[0].least):
        read_choices((IDEAL, typed, *knobs_of(IDEAL)[1:], "off", "light"))


def test_excerpt_after_the_end_is_an_error(video: Path, tmp_path: Path) -> None:
    with raises(DvspipeError, "start"):
        read_excerpt(video, 50.0, tmp_path)


def test_video_and_recording_are_exported_in_every_format(short_video: Path, tmp_path: Path) -> None:
    stages: list[str] = []

    def write_as(suffix: str, path: Path = short_video) -> Path:
        return export(ChosenFile(path, path.name), IDEAL_CHOICES, suffix, tmp_path, "dark", note)

    def note(_: float, __: float, stage: str = "") -> None:
        stages.append(stage)

    converted = write_as(".h5")
    assert converted.name == "my-bar.h5"
    assert {*stages} == {"converting"}
    events = read(converted)
    assert len(events)
    for suffix in (".csv", ".aedat4"):
        assert read(write_as(suffix), hints=Hints(sensor="400x100")) == events
    for suffix in (".webm", ".png"):
        assert write_as(suffix).stat().st_size > 1000
    assert "writing .png" in stages
    recording = tmp_path / "recording.h5"
    shutil.copy(converted, recording)
    assert read(write_as(".csv", recording), hints=Hints(sensor="400x100")) == events


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


def test_favicon_is_the_logo(served: Served) -> None:
    status, icon, headers = get(at(served, "favicon.ico"))
    assert status == 200
    assert b"<svg" in icon
    assert headers["content-type"].startswith("image/svg")


def test_requests_for_another_host_are_refused(served: Served) -> None:
    assert get(served.address, Host="attacker.example")[0] == 400


def test_server_delivers_only_results(served: Served) -> None:
    session = served.space.open("mine")
    (session.folder / "player.html").write_text("<p>hello</p>", encoding="utf-8")
    status, page, headers = get(at(served, f"gradio_api/file={session.folder}/player.html"))
    assert (status, page) == (200, b"<p>hello</p>")
    assert headers["content-type"].startswith("text/html")
    secrets = (
        "/etc/passwd",
        Path(__file__),
        served.space.folder / "recording.h5",
        f"{session.folder}/../../../../etc/passwd",
    )
    for secret in secrets:
        assert get(at(served, f"gradio_api/file={secret}"))[0] == 403, secret


def call_page(served: Served, upload: dict[str, str]) -> bool:
    """Choose an upload as a browser does, and return whether the page accepts it."""
    config = json.loads(get(at(served, "config"))[1])
    (number, *_) = (each["id"] for each in config["components"] if each["type"] == "file")
    (function,) = (each["id"] for each in config["dependencies"] if [number, "upload"] in each["targets"])

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
    theirs = served.space.open("theirs").folder / "a.csv"
    theirs.touch()
    for wrong in ("/etc/hostname", str(theirs)):
        assert not call_page(served, {"path": wrong})


def test_embedded_page_has_title_and_escaped_url(served: Served) -> None:
    page = served.space.open("mine").folder / 'a "b".html'
    page.write_text("", encoding="utf-8")
    shown = show_page(page, "Video & events")
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
        root = found.space.root
        page = found.space.open("mine").folder / "a.html"
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


def test_closed_page_stops_its_work_and_removes_its_files(space: Workspace) -> None:
    steps = work_on(space, repeat)
    next(steps)
    space.close("a")
    with pytest.raises(Stopped):
        list(steps)
    assert not [*space.sessions.iterdir()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_server_removes_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    seen: list[object] = []

    @contextmanager
    def pretend(_: AppSettings) -> Iterator[Served]:
        try:
            yield Served("http://127.0.0.1:1/", Workspace(tmp_path, tmp_path))
        finally:
            seen.append("files removed")

    monkeypatch.setattr("dvspipe.app.serve", pretend)
    monkeypatch.setattr("dvspipe.app.command.time.sleep", lambda _: signal.raise_signal(number))
    done = dvspipe("app", tmp_path, "--no-browser", cwd=tmp_path, code=None)
    assert done.returncode == INTERRUPTED
    assert seen == ["files removed"]


@pytest.mark.parametrize("name", ["a\0b", "a" * 10_000])
def test_invalid_file_name_is_an_error(space: Workspace, name: str) -> None:
    with raises(FileError) as caught:
        space.resolve(name)
    assert len(space.describe(caught.value)) < 300


def test_port_in_use_is_an_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, ignore_unclosed():
        settings = AppSettings(tmp_path, port=taken.getsockname()[1])
        with raises(ConfigError, "port", settings.port), serve(settings):
            pass


@pytest.mark.slow
def test_check_runs_the_sample_clip(tmp_path: Path) -> None:
    with ignore_unclosed():
        found = check_app(AppSettings(tmp_path))
    assert found.class_name == "right_hand_wave"
    assert found.events > 10_000


def test_sample_clip_is_small() -> None:
    assert SAMPLE.stat().st_size < 300_000


def test_help_loads_neither_torch_nor_gradio() -> None:
    code = """
import sys
from dvspipe.cli.app import run
run(["app", "--help"])
print(*{name.split('.')[0] for name in sys.modules})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--password" in done.stdout
    assert not {"torch", "gradio", "plotly"} & set(done.stdout.splitlines()[-1].split())


# Recordings


@pytest.fixture(scope="module")
def explored(tmp_path_factory: pytest.TempPathFactory) -> Explored:
    """A recording with a hot pixel."""
    folder = tmp_path_factory.mktemp("explored")
    events = random_events(1, 60_000, SensorSize(width=34, height=26), 2_000_000)
    hot = Events(np.arange(0, 2_000_000, 400), np.full(5000, 3), np.full(5000, 5), np.ones(5000, int), events.sensor)
    write(folder / "noise.h5", list(merge_streams([[events], [hot]])))
    return explore(ChosenFile(folder / "noise.h5", "noise.h5"), ignore_progress)


def test_recording_is_summarised_with_its_hot_pixel(explored: Explored) -> None:
    assert "65,000 events" in explored.facts
    assert "34 x 26" in explored.facts
    assert "hot pixels: 1" in explored.facts
    assert [pixel[:2] for pixel in explored.hot] == [(3, 5)]
    assert explored.rate.counts.sum() == 65_000


def test_3d_view_shows_evenly_sampled_events_and_their_number(explored: Explored) -> None:
    figure = plot_space_time(explored, "light")
    drawn = sum(len(trace.x) for trace in figure.data)
    assert drawn == len(explored.sample) <= 50_000
    assert f"{drawn:,} of 65,000" in explored.summary
    every_second = read(explored.source.path).structured()[::2]
    assert (explored.sample.structured() == every_second).all()


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_3d_view_has_the_colours_of_the_pictures(explored: Explored, colours: PreviewColours) -> None:
    palette = EVENT_PALETTES[colours]
    figure = plot_space_time(explored, colours)
    drawn = [*(trace.marker.color for trace in figure.data), figure.layout.paper_bgcolor]
    assert drawn == ["rgb({},{},{})".format(*colour) for colour in (palette.off, palette.on, palette.background)]


def test_3d_view_and_pictures_have_text_descriptions(explored: Explored) -> None:
    assert f"{len(explored.sample):,} of 65,000 events" in explored.summary
    assert "columns" in explored.summary
    assert mentions(PictureChoices(0.5, mode="surface").text, "30 ms", "50.0%", "surface")
    assert mentions(PictureChoices(0.0, events=1000, colours="dark").text, "red", "blue")


@pytest.mark.parametrize("mode", ["count", "surface", "decay"])
def test_picture_shows_a_duration_or_a_number_of_events(explored: Explored, mode: PreviewMode) -> None:
    first, last = (draw_picture(explored, PictureChoices(place, mode=mode)) for place in (0.0, 1.0))
    assert first.shape == last.shape
    assert (first != last).any()
    few, many = (draw_picture(explored, PictureChoices(0.5, events=count, mode=mode)) for count in (100, 5000))
    assert (few != many).any()


def test_cut_and_filter_equal_the_shown_commands(
    explored: Explored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = read_cut((0.5, 1.5, "20x16+2+3", True, 1.0, 20.0))
    counts = write_cut(explored, cut, tmp_path / "page.h5", ignore_progress)
    assert 0 < counts.kept < counts.events
    monkeypatch.chdir(tmp_path)
    for command in cut.commands(str(explored.source.path), "typed.h5").splitlines():
        dvspipe(*shlex.split(command)[1:], cwd=tmp_path)
    assert read(tmp_path / "page.h5") == read(tmp_path / "typed.h5")


@pytest.mark.parametrize("cut", [Cut(stop_s=0.05), Cut(roi="9x6+1+0", config=FilterConfig(refractory_us=20_000))])
def test_cut_keeps_settings(cut: Cut, tmp_path: Path) -> None:
    events = random_events(3, 2000)
    write(tmp_path / "a.h5", events, settings={"upsample": "off"})
    source = explore(ChosenFile(tmp_path / "a.h5", "a.h5"), ignore_progress)
    counts = write_cut(source, cut, tmp_path / "b.h5", ignore_progress)
    written = open_recording(tmp_path / "b.h5")
    assert 0 < len(next(written.chunks())) == counts.kept
    assert written.attributes["settings"]["upsample"] == "off"


@pytest.mark.parametrize("wrong", ["a text", -1.0])
def test_wrong_number_of_a_part_is_named(wrong: object) -> None:
    filters = [False if facts.is_switch else 0 for facts in FILTERS.values()]
    assert read_cut((0.5, None, "", *filters)) == Cut(start_s=0.5)
    with raises(ConfigError, "start", wrong):
        read_cut((wrong, 0, "", *filters))


@pytest.mark.parametrize("cut", [Cut(roi="99x99+0+0"), Cut(start_s=2, stop_s=1), Cut(start_s=50)])
def test_invalid_part_is_an_error(explored: Explored, cut: Cut, tmp_path: Path) -> None:
    with pytest.raises(DvspipeError):
        write_cut(explored, cut, tmp_path / "a.h5", ignore_progress)


def test_included_classifiers_are_offered() -> None:
    from dvspipe.checkpoints.checkpoint import shipped_checkpoints

    assert list(SHIPPED_NAMES) == shipped_checkpoints()
