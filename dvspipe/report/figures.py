"""The matplotlib figure that all charts are drawn in."""

from __future__ import annotations

import io
from typing import TypedDict

from matplotlib.figure import Figure

from .config import DPI, SHARPNESS


class ShownSize(TypedDict):
    """Size of a picture in a notebook, in CSS pixels."""

    width: int
    height: int


class Chart(Figure):
    """Figure that notebooks display without pyplot; pyplot displays only the figures that it created."""

    def _repr_png_(self) -> tuple[bytes, ShownSize]:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=DPI)

        width, height = (int(DPI * inches) // SHARPNESS for inches in self.get_size_inches())
        return file.getvalue(), {"width": width, "height": height}
