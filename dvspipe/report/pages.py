"""Self-contained HTML pages from templates: pictures and scripts inside, nothing from elsewhere, light and dark."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import FileError
from ..files import write_beside
from .resolution import CSS_DPI, DPI
from .style import readable

if TYPE_CHECKING:  # Jinja2 is imported when a page is written
    from jinja2 import Environment

MEDIA_TYPES = {
    ".gif": "image/gif",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webm": "video/webm",
    ".webp": "image/webp",
}
PIECE_BYTES = 3 << 16  # a multiple of 3, so that the base64 texts of pieces can be joined
UNDEFINED = "–"  # instead of a number that is not defined


@dataclass(frozen=True)
class Media:
    """A picture or a video in a page.

    Args:
        path: A .gif, .jpg, .png or .webp picture, or a .webm video.
        caption: The text below it.
        is_chart: Whether it stays wide enough to be read on a phone, where it scrolls sideways.
        link: The address to load it from; None to hold it in the page.

    Raises:
        FileError: The file has another suffix.
    """

    path: Path
    caption: str
    is_chart: bool = False
    link: str | None = None

    def __post_init__(self) -> None:
        if self.path.suffix.lower() not in MEDIA_TYPES:
            raise FileError(f"{self.path}: cannot be shown in a page (expected {', '.join(MEDIA_TYPES)})")

    @property
    def media_type(self) -> str:
        """The MIME type."""
        return MEDIA_TYPES[self.path.suffix.lower()]

    @property
    def width_px(self) -> int:
        """Width at which a chart is shown, in CSS pixels.

        Raises:
            FileError: It is missing or not a picture.
        """
        from PIL import Image

        try:
            with Image.open(self.path) as picture:
                return picture.width * CSS_DPI // DPI
        except OSError as error:
            raise FileError(f"{self.path}: not a picture that can be shown") from error

    @property
    def is_video(self) -> bool:
        """Whether it is a video."""
        return self.media_type.startswith("video")

    def address(self) -> Iterator[str]:
        """Yield the address piece by piece: the link, or a data URI with the content of the file.

        Raises:
            FileError: The file is missing or cannot be read.
        """
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


@dataclass(frozen=True)
class Table:
    """A table of texts in a page.

    Args:
        heads: A title per column.
        rows: A text per column of each row.
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


def check_page_name(path: Path) -> None:
    """Check that a file can hold a page by its name.

    Raises:
        FileError: Its suffix is not .html or .htm.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise FileError(f"{path}: cannot hold a page (found {path.suffix or 'no suffix'}, expected .html)")


def write_page(path: Path, template: str, **values: object) -> Path:
    """Write a page piece by piece, since its videos may be large, and return its path.

    Args:
        path: The page to write.
        template: Name of a file in `templates`.
        values: What the template shows; texts are escaped.

    Raises:
        FileError: The page cannot be written, or a picture cannot be read.
    """
    pieces = environment().get_template(template).generate(**values)
    with write_beside(path) as beside, beside.open("w", encoding="utf-8", errors="backslashreplace") as page:
        page.writelines(pieces)
    return path


@cache
def environment() -> Environment:
    """Return the templates: they escape all texts, and a value that is missing is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    found = Environment(
        loader=PackageLoader("dvspipe.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(percent=percent, readable=readable, list_values=list_values)
    return found


def percent(share: float, digits: int = 1) -> str:
    """Return a share as a text.

    Example:
        >>> percent(0.125)
        '12.5 %'
    """
    return f"{100 * share:.{digits}f} %"


def list_values(values: dict[str, str]) -> str:
    """Return names with their values as a text.

    Example:
        >>> list_values({"numpy": "2.4", "torch": "2.13"})
        'numpy 2.4, torch 2.13'
    """
    return ", ".join(f"{name} {value}" for name, value in values.items())
