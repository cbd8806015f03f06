"""Preview of a track, its joints drawn over the source video, and a picture that shows why a film cannot be used.

`draw_skeleton` draws the joints of one row of a track; `write_track_preview` draws all frames of a track into a video,
and `write_refusal_picture` a single frame with the reason below.
"""

from __future__ import annotations

from pathlib import Path
from textwrap import wrap

import numpy as np
from numpy.typing import NDArray

from ..base.errors import VideoError, escape_controls
from ..base.files import require_suffix, write_beside
from ..base.progress import Progress, ignore_progress
from ..events import SensorSize
from ..report.style import LIGHT, Colour
from ..video.config import VideoSettings
from ..video.opencv import cv2
from ..video.opening import open_video
from ..video.writing import open_webm
from .network import JOINTS
from .track import Track

MIN_TRACK_PX = 320  # range of the preview's longer side
MAX_TRACK_PX = 960
RIGHT_COLOUR = (255, 140, 0)
LEFT_COLOUR = (40, 160, 255)
BODY_COLOUR = (240, 240, 240)
TEXT_COLOUR = (255, 60, 60)
REFUSAL_PX = 960  # maximum of the longer side of a refused film's picture
MIN_REFUSAL_PX = 480  # minimum width of this picture
TEXT_PX = 20
MARGIN_PX = 16
LINE = 1.4  # height of a line relative to the text
LETTER = 1.1  # width of wide letters relative to the mean
SURE = 0.5  # bones with at least this confidence are thick
MIN_FPS = 1.0
MAX_FPS = 120.0
JOINT_PX = 2  # radius
FAR_WIDTHS = 4  # joints are drawn at most this many widths of the picture away from it
_SHIFT = 4  # fractional bits of drawn coordinates
_SIDE_BONES = (
    ("shoulder", "elbow"),
    ("elbow", "wrist"),
    ("wrist", "index"),
    ("wrist", "pinky"),
    ("wrist", "thumb"),
    ("shoulder", "hip"),
)
BONES: tuple[tuple[int, int, Colour], ...] = (
    *(
        (JOINTS.index(f"{side}_{start}"), JOINTS.index(f"{side}_{end}"), colour)
        for side, colour in (("right", RIGHT_COLOUR), ("left", LEFT_COLOUR))
        for start, end in _SIDE_BONES
    ),
    *((JOINTS.index(f"right_{joint}"), JOINTS.index(f"left_{joint}"), BODY_COLOUR) for joint in ("shoulder", "hip")),
)
"""Pairs of joints, and the colour of the line between them."""


def write_track_preview(
    track: Track,
    film: Path,
    path: Path,
    *,
    part_us: tuple[int, int] | None = None,
    max_px: int = MAX_TRACK_PX,
    video: VideoSettings = VideoSettings(),
    progress: Progress = ignore_progress,
) -> Path:
    """Write a .webm video of a track's frames with its joints, and return its path.

    The right arm is orange, the left arm blue; bones with a joint that is hidden or outside the frame are thin.

    Args:
        track: Joints over time.
        film: Source video of the track.
        path: File to write; it is complete or absent.
        part_us: First and last time of the part to show in microseconds, at least one frame; None: the complete track.
        max_px: Maximum length of the longer side in pixels, 320 or more.
        video: Settings for reading the video, the same as for the track.
        progress: Called with the number of frames done and the total.

    Raises:
        FileError: If the suffix is not .webm, or the file cannot be written.
        VideoError: If the video cannot be read, or does not match the track.
    """
    require_suffix(path, "a preview of a track", ".webm")
    opened = open_video(film, video)
    if opened.size != track.size:
        raise VideoError(f"{film}: does not match the track (found {opened.size}, expected {track.size})")

    size = scale_frames(track.size, max_px)
    first_us, last_us = part_us or (int(track.times_us[0]), int(track.times_us[-1]))

    # The track may have skipped frames: only frames with a row are drawn.
    row_of_time = {t_us: row for row, t_us in enumerate(track.times_us.tolist()) if first_us <= t_us <= last_us}
    times_us = list(row_of_time)
    count = len(times_us)
    duration_us = max(1, times_us[-1] - times_us[0])
    fps = min(MAX_FPS, max(MIN_FPS, (count - 1) * 1e6 / duration_us))

    drawn = 0
    with write_beside(path) as beside, open_webm(beside, size, fps) as write:
        for t_us, picture in opened.pictures():
            if t_us in row_of_time:
                write(draw_skeleton(picture, track, row_of_time[t_us], size)[:, :, ::-1])  # BGR
                drawn += 1
                progress(drawn, count)

            # A part may end long before the film.
            if drawn == count and part_us is not None:
                break

    if drawn != count:
        raise VideoError(f"{film}: does not match the track (found {drawn} of its {count} frame times)")
    return path


def scale_frames(size: SensorSize, max_px: int) -> SensorSize:
    """Return a frame size with even sides, the longer one between 320 and `max_px` pixels."""
    longer = max(size.width, size.height)
    scale = min(max(longer, MIN_TRACK_PX), max_px) / longer
    width, height = (2 * max(8, round(scale * side / 2)) for side in (size.width, size.height))
    return SensorSize(width=width, height=height)


def draw_skeleton(picture: NDArray[np.uint8], track: Track, row: int, size: SensorSize) -> NDArray[np.uint8]:
    """Scale a frame (RGB uint8 [H, W, 3]) to `size` and draw the joints of a row of the track on it."""
    _, width, _ = picture.shape
    shrinks = size.width < width
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    shown = np.ascontiguousarray(cv2.resize(picture, (size.width, size.height), interpolation=interpolation))
    if not track.present[row]:
        cv2.putText(
            shown, "no person", (8, size.height - 10), cv2.FONT_HERSHEY_SIMPLEX, 0.6, TEXT_COLOUR, 1, cv2.LINE_AA
        )
        return np.asarray(shown, np.uint8)

    scale = np.array([size.width / track.size.width, size.height / track.size.height])
    # Joints far outside would overflow OpenCV's coordinates.
    points = np.clip(track.points_px[row] * scale, -FAR_WIDTHS * size.width, FAR_WIDTHS * size.width)
    centres = [(int(x), int(y)) for x, y in np.round(points * 2**_SHIFT)]

    for start, end, colour in BONES:
        is_sure = min(track.confidence[row, start], track.confidence[row, end]) >= SURE
        line_px = 2 if is_sure else 1
        cv2.line(shown, centres[start], centres[end], colour, line_px, cv2.LINE_AA, _SHIFT)

    for centre in centres:
        cv2.circle(shown, centre, JOINT_PX << _SHIFT, BODY_COLOUR, cv2.FILLED, cv2.LINE_AA, _SHIFT)
    return np.asarray(shown, np.uint8)


def write_refusal_picture(
    film: Path, track: Track | None, reason: str, path: Path, *, video: VideoSettings = VideoSettings()
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

    require_suffix(path, "a picture of a refused film", ".png")
    opened = open_video(film, video)
    row = None if track is None else choose_row(track)
    wanted_us = None if track is None or row is None else int(track.times_us[row])

    # The picture of the chosen row, or, without a track, the middle one.
    picture = None
    for number, (t_us, shown) in enumerate(opened.pictures()):
        picture = shown
        if t_us == wanted_us or (wanted_us is None and number >= opened.frame_count // 2):
            break
    else:
        if picture is None or wanted_us is not None:
            raise VideoError(f"{film}: does not match the track (found no frame at {wanted_us} us)")

    height, width, _ = picture.shape
    size = scale_frames(SensorSize(width=width, height=height), REFUSAL_PX)
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
    frame_height, frame_width, _ = frame.shape
    width = max(frame_width, MIN_REFUSAL_PX)
    text = escape_controls(text)

    # Wrap by the mean width of the letters, with room for wide ones.
    letter_px = LETTER * font.getlength(text) / max(1, len(text))
    lines = wrap(text, int((width - 2 * MARGIN_PX) / letter_px)) if text else []

    line_px = round(LINE * TEXT_PX)
    page = Image.new("RGB", (width, frame_height + 2 * MARGIN_PX + line_px * len(lines)), LIGHT.strip)
    page.paste(Image.fromarray(frame), ((width - frame_width) // 2, 0))

    draw = ImageDraw.Draw(page)
    for number, line in enumerate(lines):
        middle = frame_height + MARGIN_PX + (number + 0.5) * line_px
        draw.text((MARGIN_PX, middle), line, fill=LIGHT.text, font=font, anchor="lm")
    return np.asarray(page)
