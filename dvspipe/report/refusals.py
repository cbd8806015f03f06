"""Picture that shows why a film cannot be used."""

from __future__ import annotations

from pathlib import Path
from textwrap import wrap

import numpy as np
from numpy.typing import NDArray

from ..base.errors import VideoError, escape_controls
from ..base.files import require_suffix, write_beside
from ..events import SensorSize
from ..pose import Track
from ..video.config import VideoSettings
from ..video.opening import open_video
from .skeletons import draw_skeleton, scale_frames
from .style import LIGHT

MAX_PICTURE_PX, MIN_WIDTH_PX = 960, 480
TEXT_PX, MARGIN_PX = 20, 16
LINE, LETTER = 1.4, 1.1  # height of a line relative to the text, width of wide letters relative to the mean


def write_refusal_picture(
    film: Path, track: Track | None, reason: str, path: Path, *, video: VideoSettings | None = None
) -> Path:
    """Write a frame of a film with its tracked joints and the reason below, and return the path.

    Args:
        film: Video file.
        track: Joints over time; None if no person was found.
        reason: Text below the frame, such as the message of the error.
        path: PNG file to write; it is complete or absent.
        video: Settings for reading the video, the same as for the track.

    Raises:
        FileError: If the suffix is not .png, or the file cannot be written.
        VideoError: If the film cannot be read, or does not match the track.
    """
    from PIL import Image

    require_suffix(path, ".png", "a picture of a refused film")
    opened = open_video(film, video).tolerant()
    row = None if track is None else choose_row(track)
    wanted_us = None if track is None or row is None else int(track.times_us[row])
    picture = None
    for number, (t_us, shown) in enumerate(opened.pictures()):
        picture = shown
        if t_us == wanted_us or (wanted_us is None and number >= opened.frame_count // 2):
            break
    else:
        if picture is None or wanted_us is not None:
            raise VideoError(f"{film}: does not match the track (found no frame at {wanted_us} us)")
    size = scale_frames(SensorSize(width=picture.shape[1], height=picture.shape[0]), MAX_PICTURE_PX)
    if track is None or row is None:
        frame = np.asarray(Image.fromarray(picture).resize((size.width, size.height)))
    else:
        frame = draw_skeleton(picture, track, row, size)
    with write_beside(path) as beside:
        Image.fromarray(_add_text(frame, reason)).save(beside, format="png")
    return path


def choose_row(track: Track) -> int:
    """Return the most telling picture of a track: the middle one without the person if most are, or with the person."""
    missing = track.present.mean() < 0.5
    rows = np.flatnonzero(track.present != missing)
    return int(rows[len(rows) // 2])


def _add_text(frame: NDArray[np.uint8], text: str) -> NDArray[np.uint8]:
    """Return a frame with wrapped text below; narrow frames are centred."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size=TEXT_PX)
    width = max(frame.shape[1], MIN_WIDTH_PX)
    text = escape_controls(text)
    letter_px = LETTER * font.getlength(text) / max(1, len(text))
    lines = wrap(text, int((width - 2 * MARGIN_PX) / letter_px)) if text else []
    line_px = round(LINE * TEXT_PX)
    page = Image.new("RGB", (width, frame.shape[0] + 2 * MARGIN_PX + line_px * len(lines)), LIGHT.strip)
    page.paste(Image.fromarray(frame), ((width - frame.shape[1]) // 2, 0))
    draw = ImageDraw.Draw(page)
    for number, line in enumerate(lines):
        top = frame.shape[0] + MARGIN_PX + (number + 0.5) * line_px
        draw.text((MARGIN_PX, top), line, fill=LIGHT.text, font=font, anchor="lm")
    return np.asarray(page)
