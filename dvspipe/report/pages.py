"""Self-contained HTML pages from templates: embedded pictures and scripts, light and dark colours."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.errors import FileError
from ..base.files import write_beside
from ..base.texts import readable

if TYPE_CHECKING:  # import Jinja2 only when a page is written
    from jinja2 import Environment
    from matplotlib.figure import Figure

MEDIA_TYPES = {".png": "image/png", ".webm": "video/webm"}
PIECE_BYTES = 3 << 16  # multiple of 3, so the base64 strings of pieces can be concatenated
CHART_WIDTHS = {"wide": 8.0, "narrow": 3.5}
"""Widths of a chart in inches, for desktops and phones; the style sheet shows one of both."""


@dataclass(frozen=True)
class Media:
    """Picture or video in a page.

    Args:
        path: Picture (.png) or video (.webm).
        caption: Text below it.
        link: URL to load it from; None: embed it in the page.
    """

    path: Path
    caption: str
    link: str | None = None

    @property
    def media_type(self) -> str:
        """MIME type."""
        return MEDIA_TYPES[self.path.suffix]

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


def show_chart(draw: Callable[[float], Figure], text: str) -> str:
    """Return the HTML of a chart, drawn for both widths; `text` is its text alternative.

    The slider of a player lies over its axes, from the first panel to the last one.
    """
    from .figures import to_svg

    drawings = []
    for name, width in CHART_WIDTHS.items():
        figure = draw(width)
        svg = to_svg(figure)  # which lays out the axes
        first = figure.axes[0].get_position()
        last = figure.axes[-1].get_position()
        drawings.append((name, svg, (1 - first.y1, 1 - first.x1, last.y0, first.x0)))

    # The macro returns HTML; unlike other texts, a page shows it as it is.
    macros = environment().get_template("macros.html").module
    return macros.chart(text, drawings)  # type: ignore[attr-defined,no-any-return]


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


def percent(share: float) -> str:
    """Format a share as a percentage.

    Example:
        >>> percent(0.125)
        '12.5 %'
    """
    return f"{100 * share:.1f} %"


def list_values(values: dict[str, str]) -> str:
    """Format names with their values as a comma-separated list.

    Example:
        >>> list_values({"numpy": "2.4", "torch": "2.13"})
        'numpy 2.4, torch 2.13'
    """
    return ", ".join(f"{name} {value}" for name, value in values.items())
