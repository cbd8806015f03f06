"""Composition of a data set as a table (CSV, Markdown, LaTeX) or as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..base.errors import escape_controls
from ..base.files import require_suffix, write_text
from ..results.composition import COMPOSITION_SUFFIXES, EVERYTHING, CompositionRow
from ..results.splits import PARTS
from ..results.tables import format_cell, format_csv
from .style import ACCENT, GREEN, GREY, ORANGE, SMALL, TITLE, new_figure, readable, save_figure, strip_axes

HEADINGS = ("class", "part", "clips", "seconds", "events", "events/s", "ON")
PART_COLOURS = {"train": ACCENT, "validation": GREEN, "test": ORANGE}
BAR_HEIGHT_IN = 0.2  # per class
MAX_HEIGHT_IN = 24.0
MAX_NAMED_CLASSES = 120  # class names of more classes would overlap
LATEX_MARKS = {mark: f"\\{mark}" for mark in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def write_composition(rows: Sequence[CompositionRow], path: Path, *, title: str = "") -> None:
    """Write the composition of a data set in the format of a suffix: .csv, .md, .tex or .png.

    Raises:
        FileError: If the suffix is another one, or the file cannot be written.
    """
    require_suffix(path, "the composition of a data set", *COMPOSITION_SUFFIXES)
    suffix = path.suffix.lower()
    if suffix == ".csv":
        cells = ({name: format_cell(value) for name, value in row.cells().items()} for row in rows)
        write_text(path, format_csv(CompositionRow.columns, cells))
    elif suffix == ".md":
        write_text(path, format_markdown(rows))
    elif suffix == ".tex":
        write_text(path, _format_latex(rows))
    else:
        _draw(rows, path, title)


def _format_cells(row: CompositionRow) -> tuple[str, ...]:
    """Format a row for people, in the order of HEADINGS."""
    rate = "" if row.rate_hz is None else f"{row.rate_hz:,.0f}"
    share = "" if row.on_fraction is None else f"{row.on_fraction:.1%}"
    return (row.class_name, row.part, f"{row.clips:,}", f"{row.seconds:,.1f}", f"{row.events:,}", rate, share)


def format_markdown(rows: Sequence[CompositionRow]) -> str:
    """Return the composition of a data set as a table in Markdown, without columns that are empty."""
    table = [HEADINGS, *map(_format_cells, rows)]
    filled = [column for column in range(len(HEADINGS)) if any(cells[column] for cells in table[1:])]
    names, *others = ([_escape_cell(cells[column]) for column in filled] for cells in table)

    lines = [names, ["---", "---", *["---:"] * (len(filled) - 2)], *others]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _escape_cell(text: str) -> str:
    return escape_controls(text).replace("|", "\\|")


def _format_latex(rows: Sequence[CompositionRow]) -> str:
    """Return the table for the package booktabs; the sums over all classes are separated by a line."""
    lines = [r"\begin{tabular}{llrrrrr}", r"\toprule", " & ".join(HEADINGS) + r" \\", r"\midrule"]
    above = None
    for row in rows:
        if row.class_name == EVERYTHING and above not in (None, EVERYTHING):
            lines.append(r"\midrule")
        lines.append(" & ".join(map(_escape_latex, _format_cells(row))) + r" \\")
        above = row.class_name
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _escape_latex(text: str) -> str:
    return "".join(LATEX_MARKS.get(letter, letter) for letter in escape_controls(text))


def _draw(rows: Sequence[CompositionRow], path: Path, title: str) -> None:
    """Draw the number of clips per class, divided into parts, and the event rate per class."""
    sums = {row.class_name: row for row in rows if row.part == EVERYTHING and row.class_name != EVERYTHING}
    classes = list(sums)
    clips = {(row.class_name, row.part): row.clips for row in rows}
    positions = range(len(classes))

    figure = new_figure(8.0, min(1.2 + BAR_HEIGHT_IN * len(classes), MAX_HEIGHT_IN), title)
    of_clips, of_rates = figure.subplots(1, 2, sharey=True)

    # Parts are stacked, in the order of a training.
    left = [0] * len(classes)
    for part in PARTS:
        widths = [clips.get((name, part), 0) for name in classes]
        if any(widths):
            of_clips.barh(positions, widths, left=left, color=PART_COLOURS[part], label=part)
            left = [start + width for start, width in zip(left, widths, strict=True)]
    of_clips.legend(fontsize=8, frameon=False, ncols=len(PARTS), loc="lower left", bbox_to_anchor=(0, 1.02))

    of_rates.barh(positions, [sums[name].rate_hz or 0 for name in classes], color=GREY)

    for axes, label in ((of_clips, "clips"), (of_rates, "events per second")):
        strip_axes(axes)
        axes.set_xlabel(label, **SMALL)
    of_rates.set_title("event rate", **TITLE)

    named = classes if len(classes) <= MAX_NAMED_CLASSES else []
    of_clips.set_yticks(positions[: len(named)], [readable(escape_controls(name)) for name in named], fontsize=8)
    of_clips.invert_yaxis()
    save_figure(figure, path)
