"""App in a real browser: Chromium, driven by Playwright. Requests to other hosts are errors."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
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
        page.get_by_role("tab", name="Explore", exact=True).wait_for()
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


@pytest.fixture
def page(browser: Any, site: Site) -> Iterator[Any]:
    context = browser.new_context(viewport=SCREEN, permissions=["camera"])
    yield site.watch(context.new_page())
    context.close()
    site.check()


def open_tab(page: Any, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).first.click()


def report_of(page: Any) -> Any:
    """Return the visible frame with a report."""
    return page.locator("iframe.page:visible").first.content_frame


def source_of(page: Any) -> str:
    return page.locator("video[aria-label^=Preview]:visible").last.get_attribute("src")


def upload(page: Any, path: Path) -> None:
    page.locator("[role=tabpanel]:visible input[type=file]:not([disabled])").first.set_input_files(str(path))


@pytest.mark.parametrize(("size", "scheme"), [(SCREEN, "light"), (PHONE, "dark")])
def test_tabs_open_with_an_example_and_fit(browser: Any, site: Site, size: dict[str, int], scheme: str) -> None:
    context = browser.new_context(viewport=size, color_scheme=scheme)
    page = site.watch(context.new_page())
    shown = {"Webcam": "text=Click to Access Webcam", "Video": "iframe.page:visible", "Learn": "video:visible"}
    shown["Explore"] = "img[alt^='Events of']:visible"
    for name, mark in shown.items():
        open_tab(page, name)
        page.locator(mark).first.wait_for()
        beyond = page.evaluate(BEYOND, size["width"])
        assert not beyond, (name, beyond)
    open_tab(page, "Video")
    report = report_of(page)
    report.get_by_text("left arm clockwise").first.wait_for()
    report.locator("p", has_text="joints and events").wait_for()
    context.close()
    site.check()


def test_preview_changes_with_the_sensor(page: Any) -> None:
    open_tab(page, "Video")
    page.locator("iframe.page:visible").wait_for(timeout=5 * PATIENCE_MS)
    page.get_by_role("button", name="Sensor").click()
    before = source_of(page)
    number = page.get_by_label("number input for ON threshold (log intensity)")
    number.fill("0.6")
    number.press("Enter")
    expect(page.locator("video[aria-label^=Preview]:visible").last).not_to_have_attribute("src", before)
    command = page.locator("[data-testid=textbox]:visible").last
    expect(command).to_have_value(re.compile("--pos-thres 0.6"))


def test_broken_files_and_foreign_paths_give_one_message(page: Any, folder: Path) -> None:
    open_tab(page, "Explore")
    page.locator("img[alt^='Events of']:visible").wait_for()
    message = page.locator(".toast-body")
    path = page.get_by_label("or a file in").locator("visible=true")
    for name, text in (("/etc/passwd", "is not below"), ("broken.mp4", "broken.mp4")):
        path.fill(name)
        path.press("Enter")
        message.filter(has_text=text).first.wait_for()
        assert str(folder) not in message.filter(has_text=text).first.inner_text()
        page.get_by_role("button", name="Close").first.click()
    path.fill("noise.h5")
    path.press("Enter")
    expect(page.get_by_label("Facts")).to_have_value(re.compile("events +4,000"))
    assert "Traceback" not in page.content()


def test_uploaded_video_is_downloaded_as_events(page: Any, clip: Path, tmp_path: Path) -> None:
    open_tab(page, "Video")
    page.locator("iframe.page:visible").wait_for(timeout=5 * PATIENCE_MS)
    page.get_by_role("button", name="Clear").first.click()
    upload(page, clip)
    page.locator("video[aria-label^=Preview]:visible").first.wait_for()
    page.get_by_role("button", name="Write the file").first.click()
    with page.expect_download() as found:
        page.get_by_role("tabpanel").locator("a[download]:visible", has_text="KB").or_(
            page.locator("a[download$='.h5']:visible")
        ).first.click()
    found.value.save_as(tmp_path / "a.h5")
    assert info(tmp_path / "a.h5").events > 10_000


def test_gesture_is_added_removed_and_its_training_stopped(page: Any) -> None:
    open_tab(page, "Learn")
    page.locator("video:visible").first.wait_for()
    name, add = page.get_by_label("Name of the gesture"), page.get_by_role("button", name="Add", exact=True)
    name.fill("../circle")
    add.click()
    page.locator(".toast-body", has_text="../circle").wait_for()
    name.fill("circle")
    add.click()
    page.get_by_label("circle-1").wait_for()
    page.get_by_role("button", name="Train", exact=True).click()
    page.get_by_text(re.compile("training.*person|training")).first.wait_for()
    page.locator("[role=tabpanel]:visible").get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("button", name="Remove this film").click()
    expect(page.get_by_label("circle-1")).to_have_count(0)


def test_webcam_is_classified_while_it_runs(page: Any) -> None:
    page.get_by_text("Click to Access Webcam").first.click()
    page.locator(".webcam .button-wrap button").first.click()
    # A busy machine skips pictures of the camera, so any label counts.
    page.locator(".label b", has_text=re.compile("|".join(GESTURES).replace("_", " "))).wait_for()
    page.locator(".events[src^='data:image/png']").wait_for()
    page.locator(".webcam .button-wrap button").first.click()


def write_y4m(video: Path, path: Path, seconds: float) -> Path:
    """Write the first seconds of a video for the fake camera of Chromium; it repeats them."""
    opened = open_video(video, VideoSettings(stop_s=seconds))
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{opened.size.width} H{opened.size.height} F30:1 Ip A1:1 C420jpeg\n".encode())
        for _, picture in opened.pictures():
            file.write(b"FRAME\n" + cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420).tobytes())
    return path
