"""Training tab: table of runs, their curves, the report of a run, and recordings with wrong predictions.

`find_runs` reads the records of all runs below the folder. From the table of runs, a click leads to the report and the
confusion matrix of a run; from a cell of the matrix to its recordings; and from a recording to its classification.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from html import escape
from pathlib import Path
from typing import Any, Literal

import gradio as gr

from .. import checkpoints
from ..base.errors import ConfigError, DvspipeError
from ..parallel import Progress
from ..report.style import readable
from ..report.web_charts import Line, PageChart, epoch_axis, plot_lines
from ..results import RunFolder, ShippedRecord, TrainingRun, WrongPrediction
from .answers import SHIPPED_NAMES, Classified, classify
from .shared import (
    ChosenFile,
    Handler,
    Tab,
    Updates,
    follow,
    handle,
    listen,
    show_caption,
    show_empty,
    show_page,
)
from .workspace import Session, Workspace

HEADS = ("run", "accuracy (%)", "validation (%)", "parameters", "epochs", "data", "date")
WIDTHS = ("240px", "130px", "150px", "140px", "110px", "300px", "190px")  # column widths; phones scroll the table
WRONG_HEADS = ("recording", "class", "predicted", "probability")
Quantity = Literal["val_accuracy", "val_loss", "train_accuracy", "train_loss"]
QUANTITIES: list[tuple[str, Quantity]] = [
    ("validation accuracy", "val_accuracy"),
    ("validation loss", "val_loss"),
    ("training accuracy", "train_accuracy"),
    ("training loss", "train_loss"),
]
# Colour-blind safe colours by Okabe and Ito: https://jfly.uni-koeln.de/color/
LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
DASHES = ("", "6 4", "1.5 4")  # lengths of strokes and gaps in SVG
WRITE_REPORT = "To write one, call dvspipe.report.write_training_page."
MAX_CURVES = len(LINES) * len(DASHES)
FIRST_CURVES = len(LINES)  # curves shown before the user chooses runs


@dataclass(frozen=True, eq=False)
class FoundRun:
    """Run found below the folder.

    Args:
        name: Path of the run below the folder.
        run: Records of the run.
        parameters: Number of trained parameters; None if the network cannot be built, as for a custom module.
        ended: Time when the test result was written.
    """

    name: str
    run: TrainingRun
    parameters: int | None
    ended: datetime

    def row(self) -> list[str | float | int | None]:
        """Return the table row of the run; the columns are `HEADS`."""
        test = self.run.test
        kind = f" ({test.kind_of_data})" if test.kind_of_data else ""

        return [
            self.name,
            round(100 * test.accuracy, 2),
            None if test.val_accuracy is None else round(100 * test.val_accuracy, 2),
            self.parameters,
            len(self.run.epochs),
            test.title + kind,
            f"{self.ended:%Y-%m-%d %H:%M}",
        ]


def find_runs(space: Workspace, progress: Progress) -> list[FoundRun]:
    """Find the complete runs below the folder, most accurate first; skip unreadable records."""
    names = space.list_files(lambda path: path == RunFolder(path.parent).test)
    runs = []
    for number, name in enumerate(names):
        progress(number, len(names))
        folder = RunFolder((space.folder / name).parent)
        try:
            run = TrainingRun.read(folder)
        except DvspipeError:
            continue

        ended = datetime.fromtimestamp(folder.test.stat().st_mtime)
        runs.append(FoundRun(str(Path(name).parent), run, _count_parameters(folder), ended))

    return sorted(runs, key=lambda listed: -listed.run.test.accuracy)


def _count_parameters(folder: RunFolder) -> int | None:
    from ..checkpoints.checkpoint import read_checkpoint  # torch takes seconds to import

    try:
        network = read_checkpoint(folder.best).network
    except DvspipeError:
        return None

    return sum(weight.numel() for weight in network.parameters())


def chart_curves(runs: Sequence[FoundRun], quantity: Quantity) -> PageChart:
    """Return the chart of a quantity over the epochs of several runs, one line per run."""
    lines = []
    for number, run in enumerate(runs[:MAX_CURVES]):
        # When the colours are used up, they are repeated with another dash.
        dash = DASHES[number // len(LINES)]
        colour = LINES[number % len(LINES)]
        epochs = [row.epoch for row in run.run.epochs]
        values = [getattr(row, quantity) for row in run.run.epochs]
        lines.append(Line(run.name, colour, epochs, [math.nan if value is None else value for value in values], dash))

    longest = max((run.run.epochs for run in runs), key=len, default=())
    across = epoch_axis([row.epoch for row in longest])
    title = next(text for text, name in QUANTITIES if name == quantity)
    return PageChart([plot_lines(title.capitalize(), lines, across)], across, describe_curves(runs, quantity))


def describe_curves(runs: Sequence[FoundRun], quantity: Quantity) -> str:
    """Return a text description of the curves."""
    title = next(text for text, name in QUANTITIES if name == quantity)
    choose = max if quantity.endswith("accuracy") else min

    lines = []
    for run in runs[:MAX_CURVES]:
        epochs = [row for row in run.run.epochs if getattr(row, quantity) is not None]
        if not epochs:
            lines.append(f"{run.name} has no validation part")
            continue

        first = getattr(epochs[0], quantity)
        last = getattr(epochs[-1], quantity)
        best = choose(epochs, key=lambda row: getattr(row, quantity))
        lines.append(f"{run.name} {first:.3g} to {last:.3g}, best {getattr(best, quantity):.3g} in epoch {best.epoch}")

    return f"{title} from the first epoch to the last: {'; '.join(lines)}." if lines else "No run is chosen."


def list_confusion(run: TrainingRun) -> tuple[list[str], list[list[str | int]]]:
    """Return the column heads and rows of the confusion matrix; row: true class, column: predicted class."""
    names = [readable(name) for name in run.test.classes]
    return ["true class", *names], [[name, *row] for name, row in zip(names, run.test.confusion, strict=True)]


def find_wrong(run: TrainingRun, label: int, predicted: int) -> list[WrongPrediction]:
    """Return the recordings in a cell of the confusion matrix; diagonal cells (correct predictions) list none."""
    classes = run.test.classes
    return [
        recording
        for recording in run.test.wrong
        if (recording.label, recording.predicted) == (classes[label], classes[predicted])
    ]


def find_recording(space: Workspace, run: str, wrong: WrongPrediction) -> ChosenFile:
    """Find the file of a recording with a wrong prediction.

    Data paths in a run are relative to the folder where it was trained: the app's folder, or one that contains the run.
    """
    name, _, _ = wrong.name.partition("@")  # a part of a recording is named PATH@START-END
    paths = (str(parent / name) for parent in Path(run).parents if (space.folder / parent / name).exists())
    return ChosenFile(space.resolve(next(paths, name)), Path(name).name)


def show_scores(folder: Path | None = None) -> str:
    """Return the HTML of the measured scores of the included classifiers."""
    lines = []
    if folder is not None:
        text = f"No complete training run is below {folder}. This command trains one:"
        lines += [f"<p>{escape(text)} <code>dvspipe train gesture -o runs/first</code></p>"]

    lines += ["<p>Measured accuracy of the included classifiers:</p>", '<table class="scores">']
    for name in SHIPPED_NAMES:
        lines.append(f'<tr><th colspan="3">{name}</th></tr>')
        for score in ShippedRecord.read(Path(checkpoints.__file__).with_name(f"{name}.json")).scores:
            share = score.correct / score.samples
            counts = f"{score.correct} of {score.samples}"
            meter = f'<meter value="{share:.3f}" aria-label="{counts} correct"></meter>'
            lines.append(f"<tr><td>{escape(score.data)}</td><td>{meter}</td><td>{share:.0%} ({counts})</td></tr>")

    return "".join([*lines, "</table>"])


class RunTab(Tab):
    """Training tab: its components and their event handlers.

    Args:
        space: Folders of the app.
        opened: Event that fires when the tab is opened.
    """

    def __init__(self, space: Workspace, opened: Any) -> None:
        super().__init__(space)
        self.classifying = self.make_message()
        self.runs: gr.State = gr.State([])
        self.run: gr.State = gr.State(None)
        self.listed: gr.State = gr.State([])

        # Without runs, the page shows `without`, the scores of the included classifiers, and with runs `with_runs`.
        self.refresh = self.add_work("Refresh the list of runs")
        self.without = gr.HTML(show_scores())

        with gr.Column(visible=False) as self.with_runs:
            self.table = gr.Dataframe(
                headers=list(HEADS),
                column_widths=list(WIDTHS),
                interactive=False,
                wrap=True,
                label="Runs; click a column head to sort, click a run to open it",
            )

            with gr.Row():
                self.compared = gr.Dropdown([], multiselect=True, label="Runs in the chart", min_width=320)
                self.quantity = gr.Dropdown(QUANTITIES, value="val_accuracy", label="Curve", min_width=320)

            self.curves = gr.HTML("")
            self.caption = gr.HTML("")
            self._add_errors()
            self.page = gr.HTML(show_empty("Click a run to see its report."))

        self._connect(opened)

    def _add_errors(self) -> None:
        with gr.Accordion("Errors by class", open=False):
            self.confusion = gr.Dataframe(
                interactive=False,
                label="Rows: true class; columns: predicted class. Click a number to list its recordings",
            )
            self.wrong = gr.Dataframe(
                headers=list(WRONG_HEADS), interactive=False, wrap=True, label="Recordings; click one to view it"
            )

            self.add_progress(self.classifying)
            self.classified = gr.HTML("")

    def _connect(self, opened: Any) -> None:
        self.on(self.refresh.click, self.list_runs, [self.quantity])
        self.on(opened, self.list_first, [self.quantity, self.runs])
        for event in (self.compared.input, self.quantity.input):
            self.on(event, self.show_curves, [self.runs, self.compared, self.quantity])

        self._on_cell(self.table, self.open_run, [self.runs], self.status)
        self._on_cell(self.confusion, self.list_wrong, [self.run], self.status)
        self._on_cell(self.wrong, self.show_wrong, [self.run, self.listed], self.classifying)

    def _on_cell(self, table: gr.Dataframe, work: Handler, inputs: list[gr.State], status: gr.HTML) -> None:
        """Connect a handler to clicks on a cell of a table; it is called with the session, the cell and the values."""
        run = handle(self.space, status, work)

        def select(request: gr.Request, cell: gr.SelectData, *values: object) -> Iterator[Updates]:
            yield from run(request, cell, *values)

        listen(table.select, select, inputs, self.outputs)

    def list_first(self, session: Session, quantity: Quantity, runs: list[FoundRun]) -> Iterator[Updates]:
        """List the runs below the folder, unless they are already listed."""
        return iter(()) if runs else self.list_runs(session, quantity)

    def list_runs(self, session: Session, quantity: Quantity) -> Iterator[Updates]:
        """List the training runs below the session's folder, with one curve of `quantity` each."""

        def show(runs: list[FoundRun]) -> Updates:
            if not runs:
                return {
                    self.runs: [],
                    self.with_runs: gr.Column(visible=False),
                    self.without: show_scores(session.space.folder),
                }

            names = [run.name for run in runs]
            return {
                self.runs: runs,
                self.table: [run.row() for run in runs],
                self.compared: gr.Dropdown(names, value=names[:FIRST_CURVES]),
                self.curves: chart_curves(runs[:FIRST_CURVES], quantity).to_html(),
                self.caption: show_caption(describe_curves(runs[:FIRST_CURVES], quantity)),
                self.with_runs: gr.Column(visible=True),
                self.without: "",
            }

        yield from follow(session, self.status, "reading runs", partial(find_runs, self.space), show)

    def show_curves(
        self, _: Session, runs: list[FoundRun], names: list[str] | None, quantity: Quantity
    ) -> Iterator[Updates]:
        """Plot the curves of the chosen runs."""
        chosen = [run for run in runs if run.name in (names or [])]
        yield {
            self.status: "",
            self.curves: chart_curves(chosen, quantity).to_html(),
            self.caption: show_caption(describe_curves(chosen, quantity)),
        }

    def open_run(self, session: Session, cell: gr.SelectData, runs: list[FoundRun]) -> Iterator[Updates]:
        """Show the report and the confusion matrix of a run."""
        name, *_ = cell.row_value
        chosen = next((run for run in runs if run.name == str(name)), None)
        if chosen is None:
            raise ConfigError("this run is no longer listed; refresh the list of runs")

        heads, rows = list_confusion(chosen.run)

        # The report is copied, because the page may only load files of the session.
        report = session.new_folder("run") / "report.html"
        page = show_empty(f"{chosen.name} has no report. {WRITE_REPORT}")
        if chosen.run.folder.report.is_file():
            shutil.copyfile(chosen.run.folder.report, report)
            page = show_page(report, f"Report of {chosen.name}")

        yield {
            self.status: "",
            self.run: chosen,
            self.page: page,
            self.confusion: gr.Dataframe(rows, headers=heads),
        }

    def list_wrong(self, _: Session, cell: gr.SelectData, opened: FoundRun | None) -> Iterator[Updates]:
        """List the recordings of a cell of the confusion matrix."""
        if opened is None:
            return

        # The first column has the names of the true classes, and no recordings.
        classes = [readable(name) for name in opened.run.test.classes]
        true_class, *_ = cell.row_value
        label = classes.index(str(true_class))
        _, column = cell.index
        wrong = find_wrong(opened.run, label, column - 1) if column else []

        rows = [
            [recording.name, readable(recording.label), readable(recording.predicted), round(recording.probability, 3)]
            for recording in wrong
        ]

        yield {self.status: "", self.listed: wrong, self.wrong: rows}

    def show_wrong(
        self, session: Session, cell: gr.SelectData, opened: FoundRun | None, listed: list[WrongPrediction]
    ) -> Iterator[Updates]:
        """Classify a recording again; show its events, the classified region, and the predictions over time."""
        name, *_ = cell.row_value
        wrong = next((recording for recording in listed if recording.name == str(name)), None)
        if opened is None or wrong is None:
            return

        source = find_recording(self.space, opened.name, wrong)
        folder = session.new_folder("wrong")

        def show(classified: Classified) -> Updates:
            return {self.classified: show_page(classified.page, f"Network input and predictions for {source.name}")}

        work = partial(classify, source, opened.run.checkpoint, folder)
        yield from follow(session, self.classifying, "classifying", work, show)
