"""Self-contained HTML pages from templates: embedded pictures and scripts, light and dark colours."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..base.errors import FileError
from ..base.files import write_beside
from ..base.texts import readable
from .config import CSS_DPI, DPI
from .style import Values

if TYPE_CHECKING:  # import Jinja2 only when a page is written
    from jinja2 import Environment

MEDIA_TYPES = {
    ".gif": "image/gif",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webm": "video/webm",
    ".webp": "image/webp",
}
PIECE_BYTES = 3 << 16  # multiple of 3, so the base64 strings of pieces can be concatenated
PAGE_SUFFIXES = (".html", ".htm")
UNDEFINED = "–"  # shown for undefined numbers


@dataclass(frozen=True)
class Media:
    """Picture or video in a page.

    Args:
        path: Picture (.gif, .jpg, .png, .webp) or video (.webm).
        caption: Text below it.
        is_chart: Keep it wide enough to be readable on a phone, where it scrolls sideways.
        link: URL to load it from; None: embed it in the page.
        is_playing: Play a video in a loop as soon as it is visible.
    """

    path: Path
    caption: str
    is_chart: bool = False
    link: str | None = None
    is_playing: bool = False

    def __post_init__(self) -> None:
        if self.path.suffix.lower() not in MEDIA_TYPES:
            raise FileError(f"{self.path}: cannot be shown in a page (expected {', '.join(MEDIA_TYPES)})")

    @property
    def media_type(self) -> str:
        """MIME type."""
        return MEDIA_TYPES[self.path.suffix.lower()]

    @property
    def width_px(self) -> int:
        """Display width of a chart, in CSS pixels."""
        from PIL import Image

        try:
            with Image.open(self.path) as picture:
                return picture.width * CSS_DPI // DPI
        except OSError as error:
            raise FileError(f"{self.path}: not a readable picture") from error

    @property
    def is_video(self) -> bool:
        """Whether the file is a video."""
        return self.media_type.startswith("video")

    def address(self) -> Iterator[str]:
        """Yield the address in pieces: the link, or a data URI with the content of the file."""
        if self.link is not None:
            yield self.link
            return
        yield f"data:{self.media_type};base64,"

        try:
            with self.path.open("rb") as file:
                while piece := file.read(PIECE_BYTES):
                    yield base64.b64encode(piece).decode()
        except FileNotFoundError as error:
            raise FileError(f"{self.path}: no such file") from error
        except OSError as error:
            raise FileError(f"{self.path}: cannot be read ({error.strerror})") from error


def data_address(media_type: str, content: bytes) -> str:
    """Return a data URI, for an element of a page."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


@dataclass(frozen=True)
class Table:
    """Table of text cells in a page."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


def write_page(path: Path, template: str, **values: object) -> Path:
    """Write a page and return its path.

    The page is written in pieces, because its videos may be large.
    """
    pieces = environment().get_template(template).generate(**values)
    with write_beside(path) as beside, beside.open("w", encoding="utf-8", errors="backslashreplace") as page:
        page.writelines(pieces)
    return path


@cache
def environment() -> Environment:
    """Return the template environment: all text is escaped, and a missing variable is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("dvspipe.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    templates.filters.update(percent=percent, readable=readable, list_values=list_values)
    return templates


def outline_steps(heights: Values, size: tuple[int, int], span: tuple[float, float] = (0, 1)) -> list[str]:
    """Return the points of an SVG polygon below a step curve.

    Args:
        heights: Values of bins of equal length, relative to the height of the picture.
        size: Width and height of the picture.
        span: Start of the first bin and end of the last one, relative to the width.
    """
    width, height = size
    start, stop = span
    edges = np.linspace(width * start, width * stop, len(heights) + 1)

    across = np.repeat(edges, 2)[1:-1]
    down = np.repeat(height * (1 - heights), 2)

    steps = [f"{x:.1f},{y:.1f}" for x, y in zip(across, down, strict=True)]
    return [f"{edges[0]:.1f},{height}", *steps, f"{edges[-1]:.1f},{height}"]


def percent(share: float, digits: int = 1) -> str:
    """Format a share as a percentage.

    Example:
        >>> percent(0.125)
        '12.5 %'
    """
    return f"{100 * share:.{digits}f} %"


def list_values(values: dict[str, str]) -> str:
    """Format names with their values as a comma-separated list.

    Example:
        >>> list_values({"numpy": "2.4", "torch": "2.13"})
        'numpy 2.4, torch 2.13'
    """
    return ", ".join(f"{name} {value}" for name, value in values.items())
