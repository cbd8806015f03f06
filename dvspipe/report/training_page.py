"""HTML page of a training run: its accuracy, curves, confusion matrix, wrong predictions, energy and settings."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ..base.texts import readable
from ..results import LayerActivity, TestResult, TrainingRun
from .pages import Media, Table, percent, show_chart, write_page
from .training_charts import draw_kernels, draw_wrong, plot_confusion, plot_curves


def write_training_page(run: TrainingRun) -> Path:
    """Write the page of a run and its pictures into the run's folder, and return the path of the page.

    The pictures are wrong.png and kernels.png.

    Args:
        run: Training run.

    Raises:
        FileError: If a file cannot be written.
    """
    folder = run.folder
    test = run.test
    activity = run.activity

    if activity.wrong:
        draw_wrong(test.wrong, activity.wrong, folder.wrong, title=test.kind_of_data)
    if activity.kernels:
        draw_kernels(activity.kernels, folder.kernels)

    curves = partial(plot_curves, run.epochs, chosen_epoch=test.chosen_epoch)
    confusion = partial(plot_confusion, test.confusion, test.classes)
    return write_page(
        folder.report,
        "training.html",
        heading=test.title,
        kind=test.kind_of_data,
        test=test,
        choice=run.choice,
        curves=show_chart(lambda width: curves(width=width), "Loss, accuracy and spike rates over epochs"),
        confusion=show_chart(lambda width: confusion(width=width), "Confusion matrix"),
        seconds=sum(row.seconds for row in run.epochs),
        kernels=Media(folder.kernels, "Kernels: ON weights red, OFF weights blue") if activity.kernels else None,
        energy=table_energy(activity.layers, activity.recordings) if activity.layers else None,
        wrong=_wrong_table(test),
        wrong_picture=Media(folder.wrong, "The most certain ones: ON red, OFF blue") if activity.wrong else None,
        settings=run.settings,
    )


def _wrong_table(test: TestResult) -> Table:
    """Return all wrong test predictions, the most certain first."""
    rows = [
        (case.name, readable(case.label), readable(case.predicted), percent(case.probability)) for case in test.wrong
    ]
    return Table(("Sample", "Class", "Predicted", "Probability"), rows)


def table_energy(layers: Sequence[LayerActivity], amount: float) -> Table:
    """Return a row for each layer and their total: sums divided by `amount`, such as the number of recordings."""
    rows = [
        (layer.name, "–" if layer.rate is None else f"{layer.rate:.4f}", *_format_costs([layer], amount))
        for layer in layers
    ]
    heads = ("Layer", "Spikes per neuron and step", "Synaptic operations", "Energy")
    return Table(heads, (*rows, ("Total", "", *_format_costs(layers, amount))))


def _format_costs(layers: Sequence[LayerActivity], amount: float) -> tuple[str, str]:
    """Return the synaptic operations and their energy."""
    operations = sum(layer.operations for layer in layers)
    energy_pj = sum(layer.energy_pj for layer in layers)
    return f"{operations / amount:,.0f}", joules(energy_pj / amount)


def joules(picojoules: float) -> str:
    """Format an energy with three significant digits.

    Example:
        >>> joules(4_470_000)
        '4.47 µJ'
    """
    for unit, size in (("J", 1e12), ("mJ", 1e9), ("µJ", 1e6), ("nJ", 1e3)):
        if picojoules >= size:
            return f"{picojoules / size:.3g} {unit}"
    return f"{picojoules:.3g} pJ"
