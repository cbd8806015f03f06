"""Recorder of a file picker: film a few seconds with the webcam of the browser.

The script of the page, `recorder.js`, uploads the film and submits its path as `stop_recording`. Scripts that film
begin with `camera.js`; `film_script` joins both.
"""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from ..base.errors import FileError
from .examples import HERE
from .workspace import Workspace

CAMERA_SCRIPT = HERE / "camera.js"
RECORDER_SCRIPT = HERE / "recorder.js"
FILM_SUFFIXES = (".webm", ".mp4")
VIEW = """
<div class="recorder" data-state="off">
  <video muted playsinline aria-label="Your webcam"></video>
  <p class="line" role="status">Record a few seconds; nothing leaves this machine.</p>
  <div class="choices">
    <button type="button" class="hold">Hold to record</button>
    <button type="button" class="timed"></button>
  </div>
</div>
"""
STYLE = """
.recorder video { display: block; width: 100%; max-height: 15rem; border-radius: 8px; background: #12171f;
  transform: scaleX(-1); }
.recorder[data-state="off"] video { display: none; }
.recorder[data-state="recording"] video { outline: 3px solid #b91c1c; }
.recorder .line { margin: .5rem 0; min-height: 1.5rem; font-variant-numeric: tabular-nums; }
.recorder .choices { display: grid; grid-template-columns: 1fr 1fr; gap: .5rem; }
.recorder button { height: 2.75rem; margin: 0; border-radius: 8px; font: inherit; font-weight: 500; touch-action: none;
  color: var(--button-secondary-text-color); background: var(--button-secondary-background-fill); user-select: none;
  cursor: pointer; }
.recorder button:disabled { opacity: .5; cursor: default; }
.recorder[data-state="recording"] .hold { background: #b91c1c; color: #ffffff; }
"""


def film_script(path: Path) -> str:
    """Return a script of the page that films with the webcam."""
    return CAMERA_SCRIPT.read_text("utf-8") + path.read_text("utf-8")


def add_recorder() -> gr.HTML:
    """Add a recorder; its event `stop_recording` has the path of the uploaded film."""
    return gr.HTML("", html_template=VIEW, css_template=STYLE, js_on_load=film_script(RECORDER_SCRIPT))


def find_film(space: Workspace, name: object) -> Path:
    """Return an uploaded film; the page chooses its path, and must not name other files of the app.

    Raises:
        FileError: If it is not the upload of a film.
    """
    path = space.resolve(str(name))
    if not path.is_relative_to(space.uploads.resolve()) or path.suffix not in FILM_SUFFIXES:
        raise FileError(f"{path.name}: not the film of a recording")

    return path
