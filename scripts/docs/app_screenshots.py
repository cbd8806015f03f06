"""Take the screenshots of docs/guides/app.md with playwright: `python scripts/docs/app_screenshots.py [NAME ...]`."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from dvspipe.app import AppSettings, serve
from dvspipe.app.examples import SAMPLE
from dvspipe.formats import write
from dvspipe.synthesis import GestureClip, record_gesture
from dvspipe.video.opening import open_video

OUT = Path(__file__).parents[2] / "docs" / "images"
LAPTOP = {"width": 1200, "height": 820}
PHONE = {"width": 390, "height": 844}
TIMEOUT_MS = 600_000.0
COLOURS = 200  # keeps files small


def main() -> None:
    """Write a sample recording, serve the app, and take the screenshots."""
    with TemporaryDirectory() as name, sync_playwright() as driver:
        folder = Path(name) / "recordings"
        folder.mkdir()
        make_recording(folder)
        flags = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
        flags.append(f"--use-file-for-fake-video-capture={make_camera(folder.parent)}")
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        with serve(AppSettings(folder)) as served:
            for take in (
                take_videos,
                take_webcam,
                take_learn,
                take_explore,
                take_phone,
            ):
                if is_selected(take.__name__.removeprefix("take_")):
                    take(browser, served.address)

        browser.close()


def is_selected(name: str) -> bool:
    """Return whether the command line names this screenshot or none."""
    return not sys.argv[1:] or name in sys.argv[1:]


def make_camera(folder: Path) -> Path:
    """Write the sample clip as the film of Chromium's fake camera, which repeats it."""
    path = folder / "camera.mjpeg"
    with path.open("wb") as file:
        for _, picture in open_video(SAMPLE).pictures():
            Image.fromarray(picture).save(file, "JPEG", quality=95)
    return path


def make_recording(folder: Path) -> None:
    """Write a recording of a rendered person."""
    write(folder / "arm-circle.h5", [record_gesture(GestureClip(3, person=1000, clip=0, seed=0))])


@contextmanager
def open_page(browser: Any, address: str, size: dict[str, int], tab: str, **options: Any) -> Iterator[Any]:
    """Open the app at a tab and yield the page."""
    context = browser.new_context(viewport=size, **options)
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(address)
    page.get_by_role("tab", name=tab, exact=True).first.click()
    yield page
    context.close()


def save(page: Any, name: str, settling_ms: float = 3000.0) -> None:
    """Save the visible part of the page as a PNG file with COLOURS colours."""
    page.wait_for_timeout(settling_ms)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB").quantize(COLOURS)
    picture.save(OUT / f"app-{name}.png", optimize=True)
    print(f"app-{name}.png: {(OUT / f'app-{name}.png').stat().st_size:,} bytes")


def choose_sample(page: Any) -> None:
    """Select the sample clip."""
    page.locator("button.example:visible").first.click()
    page.locator(".chosen:visible", has_text="sample.mp4").first.wait_for()


def choose_file(page: Any, name: str) -> None:
    """Select a file in the folder."""
    page.locator("button[role=tab]:visible", has_text="Folder").first.click()
    page.get_by_label("Recording in").first.click()
    page.get_by_role("option", name=name).first.click()


def show_moment(page: Any, seconds: float) -> None:
    """Pause the first visible player at a time."""
    frame = page.locator("iframe.page:visible").first.content_frame
    frame.locator("video").first.wait_for()
    page.wait_for_timeout(1500)
    frame.locator("video").first.evaluate("(v, t) => { v.pause(); v.currentTime = t; }", seconds)


def take_videos(browser: Any, address: str) -> None:
    """Second tab: the answer for the sample clip, beside its events."""
    with open_page(browser, address, LAPTOP | {"height": 1000}, "Video") as page:
        page.locator("iframe.page:visible").first.content_frame.locator(".label").wait_for()
        show_moment(page, 5.0)
        page.evaluate("scrollTo(0, 0)")
        save(page, "videos")


def take_webcam(browser: Any, address: str) -> None:
    """First tab: the sample clip as a live webcam."""
    with open_page(browser, address, LAPTOP, "Webcam", permissions=["camera"]) as page:
        page.locator("#webcam-start").click()
        page.locator(".webcam .events[src^='data:image/png']").wait_for()
        page.wait_for_timeout(8000)  # until the region of interest follows the person
        page.locator(".webcam[data-certain=true]:has(.slow:empty)").wait_for()
        save(page, "webcam", settling_ms=0)


def take_learn(browser: Any, address: str) -> None:
    """Third tab: the part of the sample clip that shows a gesture."""
    with open_page(browser, address, LAPTOP | {"height": 1000}, "Learn") as page:
        choose_sample(page)
        page.get_by_label("Name of the gesture").fill("arm circle")
        page.get_by_role("button", name="Add", exact=True).click()
        frame = page.locator("iframe.page:visible").first
        video = frame.content_frame.locator("video")
        video.wait_for()
        video.evaluate("v => { v.controls = false; v.pause(); v.currentTime = 0.4; }")
        save(page, "learn")


def take_explore(browser: Any, address: str) -> None:
    """Fourth tab: a recording in space and time."""
    with open_page(browser, address, LAPTOP, "Explore") as page:
        choose_file(page, "arm-circle.h5")
        page.locator(".js-plotly-plot:visible canvas").first.wait_for()
        save(page, "explore")


def take_phone(browser: Any, address: str) -> None:
    """Video tab on a phone, in dark mode."""
    options = {"is_mobile": True, "has_touch": True, "color_scheme": "dark", "device_scale_factor": 1.5}
    with open_page(browser, address, PHONE, "Video", **options) as page:
        page.locator("iframe.page:visible").first.content_frame.locator(".label").wait_for()
        show_moment(page, 1.0)
        page.evaluate("scrollTo(0, 0)")
        save(page, "phone")


if __name__ == "__main__":
    main()
