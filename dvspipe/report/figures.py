"""The figure that all charts are drawn in."""

from __future__ import annotations

import io
from typing import TypedDict

from matplotlib.figure import Figure

from .resolution import DPI, SHARPNESS


class ShownSize(TypedDict):
    """Size at which a notebook shows a picture, in pixels of a page."""

    width: int
    height: int


class Chart(Figure):
    """A figure that notebooks show, also without pyplot, which would show figures of its own only."""

    def _repr_png_(self) -> tuple[bytes, ShownSize]:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=DPI)
        width, height = (int(DPI * inches) // SHARPNESS for inches in self.get_size_inches())
        return file.getvalue(), {"width": width, "height": height}
