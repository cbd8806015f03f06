"""Pictures of wrong predictions on test recordings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..base.texts import readable
from ..results import EventImage, WrongPrediction
from .style import (
    INK,
    SMALL,
    frame_axes,
    mix_polarities,
    new_figure,
    save_figure,
)

WRONG_COLUMNS = 5  # pictures per row
WRONG_SIDE = 2.2  # width of a picture with its margins in inches
WRONG_TEXTS = 0.6  # height of the text around it in inches
SHADE_QUANTILE = 0.98  # quantile of the events per pixel at full colour
MAX_NAME_LETTERS = 28  # name of a sample below its picture


def draw_wrong(wrong: Sequence[WrongPrediction], images: Sequence[EventImage], path: Path, title: str = "") -> None:
    """Draw the events of wrong predictions, with the true class, the prediction and its probability."""
    columns = min(WRONG_COLUMNS, len(images))
    rows = -(-len(images) // columns)
    tallest = max(len(image.on) / len(image.on[0]) for image in images)

    figure = new_figure(width=WRONG_SIDE * columns, height=(WRONG_SIDE * tallest + WRONG_TEXTS) * rows, title=title)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, image, case in zip(panels, images, wrong, strict=False):
        off = np.array(image.off)
        on = np.array(image.on)

        # The colours end at a quantile, because a hot pixel would make all others pale.
        events = off + on
        filled = events[events > 0]
        full_colour = max(1.0, float(np.quantile(filled, SHADE_QUANTILE))) if filled.size else 1.0

        axes.imshow(mix_polarities(off, on, full_colour), interpolation="nearest")
        frame_axes(axes, "")
        above = f"{readable(case.label)}, predicted:\n{readable(case.predicted)} {case.probability:.0%}"
        axes.set_title(above, fontsize=8, color=INK, parse_math=False)
        axes.set_xlabel(_shorten(case.name), **SMALL, parse_math=False)

    for axes in panels[len(images) :]:
        axes.set_axis_off()

    save_figure(figure, path)


def _shorten(name: str) -> str:
    """Shorten the name of a sample to its file name without folders, at most its last characters."""
    file_name = name.rpartition("/")[2]
    return file_name if len(file_name) <= MAX_NAME_LETTERS else f"…{file_name[1 - MAX_NAME_LETTERS :]}"
