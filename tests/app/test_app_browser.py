"""App in a real browser: Chromium, driven by Playwright. Requests to other hosts are errors."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import pytest
from conftest import random_events

from dvspipe.base.gestures import GESTURES
from dvspipe.events import SensorSize
from dvspipe.formats import write
from dvspipe.recordings.info import info
from dvspipe.video.config import VideoSettings
from dvspipe.video.frames import Frame
from dvspipe.video.opening import open_video
from dvspipe.video.writing import write_video

pytest.importorskip("gradio", reason="the extra app is not installed")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect
expect.set_options(timeout=120_000)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("chromium is not installed", allow_module_level=True)

pytestmark = pytest.mark.slow
FLAGS = ["--no-sandbox", "--disable-gpu"]  # emulating a GPU takes a tenth of the CPU of these tests
SAMPLE = Path(__file__).parents[2] / "dvspipe" / "app" / "sample.mp4"
CAMERA = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
PATIENCE_MS = 120_000.0  # test machines are slow and busy
SCREEN = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
BEYOND = """(width) => [...document.querySelectorAll("button, p, video, iframe, .block")].filter(each => {
  const box = each.getBoundingClientRect();
  const scrolls = each.closest(".table-wrap, .js-plotly-plot, [role=tablist]");
  return box.width > 1 && each.checkVisibility() && box.right > width + 1 && !scrolls;
}).map(each => each.outerHTML.slice(0, 100))"""
"""JavaScript that lists the visible parts of a page beyond its right end; tables and charts scroll."""


class Site:
    """A running `dvspipe app`, and unwanted behaviour of its pages."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.faults: list[str] = []

    def watch(self, page: Any) -> Any:
        """Open the page and wait for its first tab; record requests to other hosts, console errors and exceptions."""
        page.set_default_timeout(PATIENCE_MS)
        page.on("request", lambda request: self._check_request(request.url))
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("console", lambda text: self.faults.append(f"console: {text.text}") if text.type == "error" else None)
        page.goto(self.address)
        page.locator("#webcam-start").wait_for()
        return page

    def check(self) -> None:
        """Fail if a page did something unwanted since the last check."""
        faults, self.faults = self.faults, []
        assert not faults

    def _check_request(self, url: str) -> None:
        if not url.startswith((self.address, "data:", "blob:", "about:")):
            self.faults.append(f"request: {url}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> Path:
    path = tmp_path_factory.mktemp("folder")
    shutil.copy(clip, path / "clip.webm")
    write(path / "noise.h5", random_events(0, 4000, SensorSize(width=34, height=26), 500_000))
    (path / "broken.mp4").write_bytes(b"this is no video" * 100)
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first three seconds of the sample: longer than an excerpt."""
    path = tmp_path_factory.mktemp("clip") / "clip.webm"
    opened = open_video(SAMPLE, VideoSettings(stop_s=3.0))
    write_video(path, [Frame(t_us, cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)) for t_us, picture in opened.pictures()])
    return path


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[Site]:
    """Run `dvspipe app`, and interrupt it at the end."""
    code = "from dvspipe.__main__ import main; main()"
    words = [sys.executable, "-c", code, "app", str(folder), "--no-browser"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        line = server.stderr.readline()
        assert line.startswith("dvspipe app: http://127.0.0.1:"), line
        yield Site(line.removeprefix("dvspipe app: ").partition(";")[0])
        server.send_signal(signal.SIGINT)
        _, errors = server.communicate(timeout=30)
        assert server.returncode == -signal.SIGINT, errors
        assert errors.splitlines()[-1:] == ["dvspipe: interrupted"]
        assert "Traceback" not in errors


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def browser(driver: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser whose webcam shows the sample."""
    film = write_y4m(SAMPLE, tmp_path_factory.mktemp("webcam") / "webcam.y4m", seconds=3.0)
    flags = [*FLAGS, *CAMERA, f"--use-file-for-fake-video-capture={film}"]
    opened = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def shared_page(browser: Any, site: Site) -> Any:
    """One page for all tests, with the answer for the example: both take seconds, more than most tests."""
    context = browser.new_context(viewport=SCREEN, permissions=["camera"])
    opened = site.watch(context.new_page())
    open_tab(opened, "Video")
    frame_of(opened).locator(".label").wait_for(timeout=5 * PATIENCE_MS)
    opened.get_by_role("button", name="Sensor").click()
    return opened


@pytest.fixture
def page(shared_page: Any, site: Site) -> Iterator[Any]:
    """The page with the video tab open, in the state that the previous test left."""
    open_tab(shared_page, "Video")
    yield shared_page
    site.check()


@pytest.fixture
def fresh_page(browser: Any, site: Site) -> Iterator[Any]:
    """A page of its own, for tests that upload or reload."""
    opened = site.watch(browser.new_page(viewport=SCREEN))
    yield opened
    opened.close()
    site.check()


def open_tab(page: Any, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).first.click()


def preview_of(page: Any) -> Any:
    """Return the frame of the preview beside the settings of the sensor."""
    return page.locator("iframe[title^=Preview]:visible").last.content_frame


def frame_of(page: Any) -> Any:
    """Return the visible frame with a player or a report."""
    return page.locator("iframe.page:visible").first.content_frame


def choose_sample(page: Any) -> None:
    page.locator("button.example:visible").first.click()
    page.locator(".chosen:visible", has_text="sample.mp4").first.wait_for()


def upload(page: Any, path: Path, shown: Any) -> None:
    """Choose a file in the tab of uploads, and wait until `shown` appears."""
    inputs = page.locator("[role=tabpanel]:visible input[type=file]:not([disabled])")
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not inputs.count():
        opened = page.locator("[role=tab][aria-selected=true]:visible").all_inner_texts()
        assert time.monotonic() < deadline, f"no file can be chosen; open tabs: {opened}"
        page.get_by_role("tab", name="Upload").first.click()
        page.wait_for_timeout(1000)
    inputs.first.set_input_files(str(path))
    shown.wait_for()


def test_every_picture_and_control_has_an_accessible_name(page: Any) -> None:
    nameless = "e => !(e.getAttribute('alt') || e.getAttribute('aria-label') || e.getAttribute('title'))"
    for place in (page, frame_of(page), preview_of(page)):
        for kind in ("img:visible", "video:visible", "iframe:visible"):
            for each in place.locator(kind).all():
                assert not each.evaluate(nameless), each.evaluate("e => e.outerHTML.slice(0, 200)")


def test_player_seeks_by_key_and_click(page: Any) -> None:
    frame = preview_of(page)
    track = frame.get_by_role("slider", name="Time in seconds")
    frame.locator("video").evaluate("v => v.pause()")  # a playing video would leave its end at once
    track.press("End")
    frame.locator("output", has_text="1.9").wait_for()
    box = track.bounding_box()
    track.click(position={"x": box["width"] / 2, "y": box["height"] / 2})
    assert 0.5 < float(frame.locator("output").inner_text().split()[0]) < 2.0


def test_excerpt_appears_at_once_and_changes_with_typed_numbers_and_arrow_keys(page: Any) -> None:
    facts = preview_of(page).locator(".facts")
    before = facts.text_content()
    number = page.get_by_label("number input for ON threshold (log intensity)")
    number.fill("0.6")
    number.press("Enter")
    expect(facts).not_to_have_text(before)
    number.fill("0.2")
    number.press("Enter")
    expect(facts).to_have_text(before)
    command = page.locator("[data-testid=textbox]:visible").last
    page.get_by_label("range slider for ON threshold (log intensity)").press("ArrowRight")
    expect(command).to_have_value(re.compile("--pos-thres 0.201"))
    page.get_by_role("button", name="Reset to default value").nth(1).click()
    expect(command).not_to_have_value(re.compile("pos_thres"))
    number.fill("7")
    number.press("Enter")
    page.get_by_role("alert").filter(has_text="ON threshold").wait_for()
    number.fill("0.2")
    number.press("Enter")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_stopped_work_shows_a_message(page: Any) -> None:
    message = page.locator(".caption", has_text="Stopped: classifying")
    for _ in range(3):  # the work may end just before it is stopped
        page.get_by_role("button", name="Classify").click()
        page.locator(".status:visible").first.wait_for()
        stop = page.get_by_role("button", name="Stop")
        with suppress(playwright.TimeoutError):
            stop.click(timeout=10_000)
        expect(stop).to_have_count(0, timeout=60_000)
        if message.count():
            break
    assert message.count()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_corrupted_file_gives_one_message(fresh_page: Any, folder: Path) -> None:
    open_tab(fresh_page, "Video")
    frame_of(fresh_page).locator(".facts").wait_for()
    line = fresh_page.get_by_role("alert").first
    upload(fresh_page, folder / "broken.mp4", line)
    text = line.inner_text()
    assert "broken.mp4" in text
    assert "\n" not in text.strip()
    assert "Traceback" not in fresh_page.content()
    assert str(folder) not in text
    expect(fresh_page.locator("iframe.page:visible")).to_have_count(0)  # nor is the previous video shown
    expect(fresh_page.locator(".chosen:visible")).to_have_count(0)


def test_only_paths_below_the_folder_can_be_typed(page: Any) -> None:
    page.get_by_role("tab", name="Explore").click()
    page.locator(".caption:visible").first.wait_for()  # the tab opens with an example
    page.locator("button[role=tab]:visible", has_text="Folder").click()
    path = page.get_by_label("Recording in").first
    path.fill("noise.h5")
    path.press("Enter")
    page.locator(".caption:visible", has_text="all 4,000 events").wait_for()
    path.fill("/etc/passwd")
    path.press("Enter")
    page.get_by_role("alert").filter(has_text="is not below").wait_for()


def test_example_is_classified_by_joints_and_events(page: Any) -> None:
    choose_sample(page)
    page.get_by_role("button", name="Classify").click()
    frame = frame_of(page)
    frame.locator(".label", has_text="left arm clockwise").wait_for(timeout=5 * PATIENCE_MS)
    frame.locator("p", has_text="right hand wave").wait_for()
    frame.locator("p", has_text="joints and events").wait_for()
    frame.get_by_role("slider", name="Time in seconds").first.wait_for()


def test_gesture_of_the_sample_clip_is_added_and_removed(page: Any) -> None:
    page.get_by_role("tab", name="Learn").click()
    choose_sample(page)
    add = page.get_by_role("button", name="Add", exact=True)
    page.get_by_label("Name of the gesture").fill("../circle")
    add.click()
    page.get_by_role("alert").filter(has_text="../circle").wait_for()
    page.get_by_label("Name of the gesture").fill("circle")
    add.click()
    page.get_by_role("radio", name="circle: 1 film").wait_for()
    frame_of(page).locator("video").wait_for()
    expect(page.get_by_label("Stop (s)")).to_have_value(re.compile(r"^6\.\d"))
    page.get_by_role("button", name="Remove this film").click()
    expect(page.get_by_role("radio", name="circle: 1 film")).to_have_count(0)


def test_film_is_recorded_while_a_button_is_held(page: Any) -> None:
    page.get_by_role("tab", name="Learn").click()
    page.locator("button[role=tab]:visible", has_text="Webcam").last.click()
    hold = page.get_by_role("button", name="Hold to record")
    hold.click()
    page.get_by_text("The camera is on").wait_for()
    hold.hover()
    page.mouse.down()
    page.locator(".recorder[data-state=recording]").wait_for()
    page.wait_for_timeout(1000)
    page.mouse.up()
    page.locator(".chosen:visible", has_text="webcam").wait_for()
    page.locator("video[aria-label^=webcam]:visible").wait_for()
    page.get_by_role("button", name="Record 6 s").click()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("The recording was stopped.").wait_for()
    hold.click()
    page.get_by_text("The camera is on").wait_for()
    open_tab(page, "Webcam")
    page.locator(".recorder[data-state=off]").first.wait_for(state="attached")


def test_uploaded_videos_are_downloaded_as_events_in_two_pages(
    fresh_page: Any, browser: Any, site: Site, clip: Path, tmp_path: Path
) -> None:
    second = site.watch(browser.new_context().new_page())
    pages = {"first.webm": fresh_page, "second.webm": second}
    for name, opened in pages.items():
        shutil.copy(clip, tmp_path / name)
        open_tab(opened, "Video")
        upload(opened, tmp_path / name, opened.locator(".chosen:visible", has_text=name).first)
    for name, opened in pages.items():
        with opened.expect_download() as found:
            opened.get_by_role("button", name="Download", exact=True).click()
        path = tmp_path / Path(name).with_suffix(".h5")
        found.value.save_as(path)
        assert found.value.suggested_filename == path.name
        assert info(path).events > 10_000
    second.close()


def test_all_tabs_are_in_one_row_and_fit_a_phone(browser: Any, site: Site) -> None:
    phone = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    opened = site.watch(phone.new_page())
    tabs = ("Webcam", "Video", "Learn", "Explore")
    assert len({opened.get_by_role("tab", name=name, exact=True).first.bounding_box()["y"] for name in tabs}) == 1
    for name in tabs:
        open_tab(opened, name)
        beyond = opened.evaluate(BEYOND, PHONE["width"])
        assert not beyond, (name, beyond)
    phone.close()
    site.check()


def test_webcam_counts_skipped_pictures_and_greys_an_old_label(fresh_page: Any) -> None:
    """A busy server drops pictures, and returns the same label for seconds."""
    page = fresh_page
    pictures = page.locator(".webcam .views").bounding_box()
    assert pictures["x"] + pictures["width"] > 0.95 * SCREEN["width"]

    dropped = 0

    def answer(route: Any) -> None:
        nonlocal dropped
        dropped += 3
        guesses = [{"name": "arm roll", "probability": 0.9}, {"name": "air drums", "probability": 0.1}]
        facts = {"t_us": 1_500_000, "guesses": guesses, "doubt": "", "basis": "events", "events": ""}
        route.fulfill(json=facts | {"pictures_per_s": 1.0, "events_per_s": 0.0, "dropped": dropped})

    page.route("**/webcam/*?t_us=*", answer)
    page.locator("#webcam-start").click()
    page.locator(".webcam[data-certain=true] .name", has_text="arm roll").wait_for()
    page.locator(".webcam[data-certain=false] .doubt", has_text=re.compile("[0-9]+ s old.*busy")).wait_for()
    page.wait_for_function("document.querySelector('.webcam .slow').textContent.includes('of the last 100')")
    skipped, shown = map(int, re.findall(r"\d+", page.locator(".webcam .slow").inner_text()))
    assert skipped <= shown == 100
    page.locator("#webcam-stop").click()


def test_webcam_is_classified_live_and_recorded(page: Any, tmp_path: Path) -> None:
    open_tab(page, "Webcam")
    page.locator("#webcam-start").click()
    # a busy machine skips pictures of the camera, so any label counts
    page.locator(".webcam .second", has_text=re.compile("|".join(GESTURES).replace("_", " "))).wait_for()
    page.locator(".webcam .events[src^='data:image/png']").wait_for()
    page.locator("#webcam-record").click()
    page.locator("#webcam-record", has_text="End the recording").click()
    with page.expect_download() as found:
        page.locator("a:visible, button:visible", has_text="Download webcam.h5").first.click()
    found.value.save_as(tmp_path / "webcam.h5")
    page.locator("#webcam-stop").click()
    page.locator(".webcam[data-state=off]").wait_for()
    page.get_by_role("button", name="Open in Video").click()
    page.locator(".chosen:visible", has_text="webcam").wait_for()
    assert info(tmp_path / "webcam.h5").width == 128


def write_y4m(video: Path, path: Path, seconds: float) -> Path:
    """Write the first seconds of a video for the fake camera of Chromium; it repeats them."""
    opened = open_video(video, VideoSettings(stop_s=seconds))
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{opened.size.width} H{opened.size.height} F30:1 Ip A1:1 C420jpeg\n".encode())
        for _, picture in opened.pictures():
            file.write(b"FRAME\n" + cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420).tobytes())
    return path
