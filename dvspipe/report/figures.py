"""The matplotlib figure that all charts are drawn in."""

from __future__ import annotations

import io
import os
from typing import TypedDict

from ..base.errors import FormatError
from .config import DPI, SHARPNESS

SETTINGS_FILE = "matplotlibrc"  # matplotlib reads it from the current folder, if there is one, when imported

try:
    import matplotlib
    from matplotlib.figure import Figure
except UnicodeDecodeError as error:
    raise FormatError(f"{os.path.abspath(SETTINGS_FILE)}: settings of matplotlib, but not a text file") from error


def _reset_settings_of_folder() -> None:
    """Set what a `matplotlibrc` of the current folder has set to matplotlib's defaults.

    The folder may contain data of strangers. Settings that the session has changed since then remain.
    """
    if not os.path.isfile(SETTINGS_FILE):
        return

    for name, value in matplotlib.rc_params_from_file(SETTINGS_FILE, use_default_template=False).items():
        if matplotlib.rcParams[name] == value:
            matplotlib.rcParams[name] = matplotlib.rcParamsDefault[name]


_reset_settings_of_folder()


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
