"""HTML page of a training run: its accuracy, curves, confusion matrix, wrong predictions, energy and settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..base.errors import count_noun
from ..base.texts import readable
from ..results import TestResult, TrainingRun, wilson_interval
from .energy import energy_per_recording
from .pages import UNDEFINED, Media, Table, write_page
from .training_charts import chart_curves, draw_kernels
from .web_charts import show_confusion
from .wrong_predictions import draw_wrong

KERNELS_CAPTION = (
    "Features of each channel of a layer: ON weights red, OFF weights blue. Kernels of later layers are weighted sums "
    "of the kernels of the previous layer."
)

WRONG_CAPTION = "The most certain wrong predictions: events summed over the steps, ON red and OFF blue."


def write_training_page(run: TrainingRun, previews: Sequence[tuple[str, Path]] = ()) -> Path:
    """Write the page of a run and its pictures into the run's folder, and return the path of the page.

    The pictures are wrong.png and kernels.png.

    Args:
        run: Training run.
        previews: Captions with pictures (.gif, .jpg, .png, .webp) or videos (.webm) to show in the page.

    Raises:
        FileError: If a file cannot be written, or a preview is missing or has another suffix.
    """
    folder = run.folder
    test = run.test

    # Media are checked before anything is written.
    preview_media = [Media(Path(path), caption) for caption, path in previews]
    mark = f" ({test.kind_of_data})" if test.kind_of_data else ""

    if run.activity.wrong:
        draw_wrong(test.wrong, run.activity.wrong, folder.wrong, title=test.kind_of_data)
    if run.activity.kernels:
        draw_kernels(run.activity.kernels, folder.kernels)

    return write_page(
        folder.report,
        "training.html",
        title=test.title + mark,
        heading=test.title,
        kind=test.kind_of_data,
        test=test,
        choice=run.choice,
        interval=wilson_interval(test.correct, test.samples),
        classifiers=_classifier_table(test),
        previews=preview_media,
        curves=chart_curves(run.epochs, test.chosen_epoch),
        confusion=show_confusion(test.confusion, test.classes),
        duration=_describe_training(run),
        classes=_class_table(test),
        kernels=Media(folder.kernels, KERNELS_CAPTION, is_chart=True) if run.activity.kernels else None,
        energy=energy_per_recording(run.activity) if run.activity.layers else None,
        wrong=_wrong_table(test),
        wrong_picture=Media(folder.wrong, WRONG_CAPTION, is_chart=True) if run.activity.wrong else None,
        settings=run.settings,
    )


def _wrong_table(test: TestResult) -> Table:
    """Return all wrong test predictions, the most certain first."""
    rows = [
        (case.name, readable(case.label), readable(case.predicted), f"{100 * case.probability:.1f}")
        for case in test.wrong
    ]
    return Table(("Sample", "Class", "Predicted", "Probability (%)"), rows)


def _classifier_table(test: TestResult) -> Table:
    """Return the test accuracy, compared with chance, with confidence intervals."""
    rows = [("This spiking network", test.accuracy, test.correct, test.samples)]

    cells = [(name, f"{100 * accuracy:.2f}", _interval(correct, count)) for name, accuracy, correct, count in rows]
    chance = ("Chance", f"{100 / len(test.classes):.2f}", "")
    return Table(("Classifier", "Test accuracy (%)", "95 % interval (Wilson)"), (*cells, chance))


def _interval(correct: int, samples: int) -> str:
    low, high = wilson_interval(correct, samples)
    return f"{100 * low:.2f} to {100 * high:.2f}"


def _class_table(test: TestResult) -> Table:
    confusion = np.array(test.confusion)
    right = confusion.diagonal()
    true = confusion.sum(axis=1)
    predicted = confusion.sum(axis=0)

    with np.errstate(invalid="ignore"):  # 0 / 0 of a class that does not occur is undefined
        scores = np.stack([right / predicted, right / true, 2 * right / (true + predicted)], axis=1)

    rows = [
        (readable(name), *(UNDEFINED if np.isnan(score) else f"{100 * score:.1f}" for score in row), str(samples))
        for name, row, samples in zip(test.classes, scores, true, strict=True)
    ]
    return Table(("Class", "Precision (%)", "Recall (%)", "F1 (%)", "Samples"), rows)


def _describe_training(run: TrainingRun) -> str:
    seconds = sum(row.seconds for row in run.epochs)
    return count_noun(len(run.epochs), "epoch") + (f" in {_duration(seconds)}." if seconds > 0 else ".")


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
