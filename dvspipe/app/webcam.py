"""Webcam tab: film beside its events, with the label, the runner-up, and the reason for doubt; record and download.

`WebcamTab` opens a camera on the server and gives its key to the script of the page, `webcam.js`. The script films with
the browser, posts the pictures to the routes of `camera_routes`, and shows what they return: a `LiveView` of the
`LiveCamera` that classifies the pictures. It also records the film, which `keep_film` stores beside its events.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Awaitable, Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal

import gradio as gr
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..base.errors import ConfigError, DvspipeError, FileError
from ..checkpoints.checkpoint import DEFAULT_CHECKPOINT
from ..inference.segments import ENTER
from .answers import SHIPPED_NAMES, list_classifiers
from .cameras import EVENT_FILE, MIN_ENTER, LiveCamera, LiveView
from .examples import EVENTS, FILM, HERE
from .recorder import FILM_SUFFIXES, film_script, find_film
from .shared import ChosenFile, Tab, Updates, listen, offer_file, show_caption
from .workspace import Session, Workspace

SCRIPT = HERE / "webcam.js"
PATH = "/webcam/{key}"
FOLDER = "webcam"
FILM_STEM = "webcam"
STOPPED = "The webcam is stopped: press Start."
MAX_ENTER = 0.95
MAX_TIME_DIGITS = 15  # a time in microseconds: 30 years
VIEW = """
<div class="webcam" data-state="off" data-certain="false">
  <p class="answer"><span class="name"></span> <span class="share"></span></p>
  <p class="second"></p>
  <p class="doubt" role="status">Press Start, allow the camera, and wave. The pictures are an example.</p>
  <p class="facts"></p>
  <p class="slow" role="alert"></p>
  <div class="views">
    <figure><video class="film" muted playsinline poster="FILM" aria-label="Film of the webcam"></video>
      <figcaption>Film</figcaption></figure>
    <figure><img class="events" alt="Events that the network sees" src="EVENTS">
      <figcaption>Events that the network sees</figcaption></figure>
  </div>
</div>
"""
STYLE = """
.webcam p { margin: .25rem 0; min-height: 1.5rem; }
.webcam .answer { font-size: clamp(1.75rem, 6vw, 3rem); line-height: 1.15; min-height: 1.15em; font-weight: 600; }
.webcam .share { font-weight: 400; font-variant-numeric: tabular-nums; }
.webcam[data-certain="false"] .answer span { color: var(--body-text-color-subdued); }
.webcam .second, .webcam .facts, .webcam figcaption { color: var(--body-text-color-subdued); }
.webcam .facts { font-variant-numeric: tabular-nums; }
.webcam .doubt:not(:empty) { font-size: 1.125rem; }
.webcam .slow:empty { display: none; }
.webcam .slow { padding: .5rem .75rem; border-left: 4px solid #b45309; }
.webcam .views { display: grid; grid-template-columns: 4fr 3fr; gap: .75rem; margin-top: .5rem; }
.webcam figure { margin: 0; min-width: 0; }
.webcam .film, .webcam .events { display: block; width: 100%; border-radius: 8px; transform: scaleX(-1); }
.webcam .film { aspect-ratio: 4 / 3; object-fit: cover; background: #12171f; }
.webcam .events { aspect-ratio: 1; object-fit: contain; background: #fff; image-rendering: pixelated; }
.webcam[data-state="off"] :is(.answer, .second, .facts) { display: none; }
.webcam[data-state="off"] .views { opacity: .75; }
.webcam[data-state="recording"] .film { outline: 3px solid #b91c1c; }
"""


class WebcamTab(Tab):
    """Webcam tab: its components and their event handlers.

    Args:
        space: Folders of the app.
    """

    def __init__(self, space: Workspace) -> None:
        super().__init__(space)
        self.recorded: gr.State = gr.State(None)

        names = list_classifiers(space)
        with gr.Row():
            self.start = _add_button("Start", "primary", interactive=True)
            self.stop = _add_button("Stop", "secondary", interactive=False)
            self.record = _add_button("Record", "secondary", interactive=False)
        self.status.render()

        # The script of the page gets the key of the camera from this invisible text.
        self.key = gr.Textbox("", visible="hidden")
        view = VIEW.replace("FILM", FILM.picture_url()).replace("EVENTS", EVENTS.picture_url())
        self.view = gr.HTML("", html_template=view, css_template=STYLE, js_on_load=film_script(SCRIPT))

        with gr.Row():
            hidden: dict[str, Any] = {"interactive": False, "min_width": 100, "elem_classes": "when-ready"}
            self.film = gr.DownloadButton("Download the film", **hidden)
            self.events = gr.DownloadButton("Download the events", **hidden)
            self.open = gr.Button("Open in Video", **hidden)

        self.checkpoint = gr.Dropdown(
            names,
            value=DEFAULT_CHECKPOINT,
            label="Classifier",
            info="An included classifier, or a checkpoint or run below the folder.",
        )

        self.enter = gr.Slider(
            MIN_ENTER,
            MAX_ENTER,
            value=ENTER,
            step=0.05,
            label="Certain from a probability of",
            info="Higher: fewer false alarms. Lower: fewer missed gestures.",
        )

        self._connect()

    def _connect(self) -> None:
        self.on(self.enter.release, self.choose_certainty, [self.key, self.enter])
        self.start_after(self.start.click)
        listen(self.stop.click, None, [], [], js="() => { window.dvspipeWebcam.stop(); }")
        listen(self.record.click, None, [], [], js="() => { window.dvspipeWebcam.record(); }")
        # The script submits the view when the film of a recording is uploaded.
        self.on(self.view.submit, self.show_recording)

    def start_after(self, event: Any) -> None:
        """Start the webcam after an event."""
        # The server opens the camera first; then the script starts to film, with the key of the camera.
        opened = self.on(event, self.open_camera, [self.checkpoint, self.enter])
        listen(opened.then, None, [self.key], [], js="key => { window.dvspipeWebcam.start(key); }")

    def choose_certainty(self, session: Session, key: str, enter: float) -> Iterator[Updates]:
        """Let labels of the live webcam be certain from another probability."""
        camera = session.space.cameras.find(key)
        if camera is not None:
            camera.enter = enter
        return iter(())

    def open_camera(self, session: Session, name: str, enter: float) -> Iterator[Updates]:
        """Load the classifier, and open the live webcam of this page."""
        from ..inference import Classifier  # torch takes seconds to import

        yield {self.status: show_caption("Loading the classifier."), self.key: ""}

        checkpoint = name if name in SHIPPED_NAMES else self.space.resolve(name)
        classifier = Classifier.load(checkpoint)

        def new_folder() -> Path:
            return self.space.open(session.name).new_folder(FOLDER)

        key = self.space.cameras.open(session.name, classifier, new_folder, enter=enter)
        yield {self.status: "", self.key: key}

    def show_recording(self, session: Session) -> Iterator[Updates]:
        """Offer the recorded film and events."""
        paths = (session.folder / FOLDER).glob(f"*/{FILM_STEM}.*")
        films = [path for path in paths if path.suffix in FILM_SUFFIXES]
        if not films:
            raise ConfigError("nothing is recorded")

        newest = max(films, key=lambda path: path.stat().st_mtime)
        yield {
            self.film: offer_file(newest),
            self.events: offer_file(newest.with_name(EVENT_FILE)),
            self.open: gr.Button(interactive=True),
            self.recorded: ChosenFile(newest, newest.name),
        }


def _add_button(name: str, variant: Literal["primary", "secondary"], *, interactive: bool) -> gr.Button:
    """Add a button that the script of the page finds by its id."""
    return gr.Button(
        name,
        variant=variant,
        interactive=interactive,
        elem_id=f"webcam-{name.lower()}",
        elem_classes="when-ready",
        min_width=90,
    )


def camera_routes(space: Workspace) -> list[Route]:
    """Return the routes of live webcams; a key that only its page knows gives access to a webcam."""

    def guarded(work: Callable[[Request, LiveCamera], Awaitable[str]]) -> Callable[[Request], Awaitable[Response]]:
        """Find the camera of a request for `work`, and turn errors into a message for the page."""

        async def respond(request: Request) -> Response:
            camera = space.cameras.find(request.path_params["key"])
            if camera is None:
                return _refuse(STOPPED, HTTPStatus.GONE)

            try:
                return Response(await work(request, camera), media_type="application/json")
            except DvspipeError as error:
                return _refuse(space.describe(error), HTTPStatus.UNPROCESSABLE_ENTITY)
            except OSError as error:  # such as a full disk
                return _refuse(str(error.strerror), HTTPStatus.INSUFFICIENT_STORAGE)

        return respond

    # Work that blocks runs in a thread, so the server answers other pages meanwhile.
    async def push(request: Request, camera: LiveCamera) -> str:
        picture = await request.body()
        view: LiveView = await run_in_threadpool(camera.push, _read_time_us(request), picture)
        return view.to_json()

    async def record(request: Request, camera: LiveCamera) -> str:
        await run_in_threadpool(camera.record, _read_time_us(request))
        return "{}"

    async def film(request: Request, camera: LiveCamera) -> str:
        await run_in_threadpool(keep_film, space, camera, await request.body())
        return "{}"

    async def stop(request: Request) -> Response:
        await run_in_threadpool(space.cameras.close, request.path_params["key"])
        return JSONResponse({})

    return [
        Route(PATH, guarded(push), methods=["POST"]),
        Route(f"{PATH}/record", guarded(record), methods=["POST"]),
        Route(f"{PATH}/film", guarded(film), methods=["POST"]),
        Route(PATH, stop, methods=["DELETE"]),
    ]


def _read_time_us(request: Request) -> int:
    """Return the time in the address of a request, on the clock of the pictures."""
    time_us = request.query_params.get("t_us", "")
    if not time_us.isdecimal() or len(time_us) > MAX_TIME_DIGITS:
        raise ConfigError(f"t_us = {time_us[:20]}: not a time in microseconds")

    return int(time_us)


def _refuse(message: str, status: HTTPStatus) -> Response:
    return JSONResponse({"message": message}, status)


def keep_film(space: Workspace, camera: LiveCamera, body: bytes) -> Path:
    """End a recording: move the uploaded film into the folder of the camera, and complete the file of events."""
    # The file of events is completed in any case, even if the film is wrong.
    camera.stop_recording()

    try:
        upload = find_film(space, json.loads(body)["path"])
    except (ValueError, KeyError, TypeError) as error:
        raise FileError("webcam: the film is not uploaded") from error
    if camera.recording is None:
        raise FileError(f"{upload.name}: not the film of a recording")

    return Path(shutil.move(upload, camera.recording / f"{FILM_STEM}{upload.suffix}"))
