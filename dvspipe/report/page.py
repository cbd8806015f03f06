"""Self-contained HTML pages: pictures inside, no script, nothing loaded from elsewhere, light and dark."""

from __future__ import annotations

import base64
import csv
import math
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from ..errors import FileError, FormatError
from ..files import write_beside
from .activity import ActivityRecord, activity_table, draw_examples, table
from .charts import draw_confusion, draw_curves

_MEDIA = {
    ".gif": "image/gif",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webm": "video/webm",
    ".webp": "image/webp",
}
_STYLE = """
:root { color-scheme: light dark; --ink: #1f2937; --quiet: #6b7280; --line: #e5e7eb; --page: #f7f8fa; --card: #ffffff;
  --accent: #1d5fbf; --badge: #92400e; --badge-back: #fef3c7; }
@media (prefers-color-scheme: dark) { :root { --ink: #e5e7eb; --quiet: #9ca3af; --line: #313b4d; --page: #12171f;
  --card: #1b222d; --accent: #7fb0f5; --badge: #fde68a; --badge-back: #573a0c; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 960px; margin: 0 auto; padding: 2rem 1rem 3rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 1.25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 0 0 .75rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1.25rem;
  margin-bottom: 1rem; }
.figure { font-size: 3.4rem; font-weight: 650; line-height: 1.1; color: var(--accent); }
p { margin: .5rem 0; overflow-wrap: anywhere; }
.quiet, figcaption { color: var(--quiet); font-size: .92rem; }
.badge { display: inline-block; vertical-align: middle; font-size: .8rem; font-weight: 600; line-height: 1.5;
  padding: 0 .6em; border-radius: 1em; color: var(--badge); background: var(--badge-back); }
figure { margin: 0 0 1.25rem; overflow-x: auto; }
figure:last-child { margin-bottom: 0; }
figcaption { text-align: center; }
img, video { display: block; max-width: 100%; max-height: 28rem; margin: 0 auto .4rem;
  border: 1px solid var(--line); border-radius: 6px; }
section > :last-child { margin-bottom: 0; }
.chart img { border: 0; max-width: none; max-height: none; width: 100%; min-width: 600px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .5rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
tr:last-child > td { border-bottom: 0; }
th { color: var(--quiet); font-weight: 500; }
th:first-child, td:first-child { text-align: left; padding-left: 0; white-space: normal; }
pre { margin: .5rem 0; padding: .75rem; white-space: pre-wrap; overflow-wrap: anywhere;
  background: var(--page); border-radius: 6px; font: .85rem/1.5 ui-monospace, monospace; }
ul { margin: 0; padding-left: 1.2rem; }
summary { cursor: pointer; font-weight: 600; }
"""


class _Baseline(BaseModel):
    """How a ReLU network on the sum of the steps does."""

    model_config = ConfigDict(frozen=True)

    accuracy: float
    samples: int
    correct: int


class _TestRecord(BaseModel):
    """test.json as training writes it; it may hold more."""

    model_config = ConfigDict(frozen=True)

    title: str
    synthetic: bool
    synthetic_test: bool | None = None
    data: str
    accuracy: float
    samples: int
    correct: int
    chosen_epoch: int
    val_accuracy: float
    classes: list[str]
    confusion: list[list[int]]
    event_count_accuracy: float
    baseline: _Baseline | None
    notes: list[str]
    command: str
    versions: dict[str, str]
    machine: dict[str, str]

    @property
    def kind_of_data(self) -> str:
        """What stands beside every result where data was made on the machine; old runs do not tell parts apart."""
        of_test = self.synthetic if self.synthetic_test is None else self.synthetic_test
        if self.synthetic and of_test:
            return "synthetic data"
        return "synthetic training data" if self.synthetic else "synthetic test data" if of_test else ""

    @model_validator(mode="after")
    def _fits(self) -> _TestRecord:
        K = len(self.classes)
        if K == 0 or [len(row) for row in self.confusion] != [K] * K:
            raise ValueError(f"confusion does not have a row and a column for each of the {K} classes")
        return self


Record = TypeVar("Record", bound=BaseModel)
_EXAMPLES = (
    "The first test recording of some classes. Events per step, ON upwards and OFF downwards; spikes of neurons spread "
    "evenly over those that spike; membranes of the busiest, the middle and the quietest of them ahead of resets, the "
    "threshold dotted; the readout of every class, whose mean over the steps is the answer."
)


def write_training_page(run: Path, previews: Sequence[tuple[str, Path]] = ()) -> Path:
    """The path of run/report.html, made from the records of a training beside the pictures that it shows.

    These are curves.png, confusion_matrix.png and examples.png.

    Args:
        run: Folder with args.yaml (settings), results.csv (a row per epoch), test.json (the test's result) and
            activity.json (what the network did with the test recordings).
        previews: Captions and pictures (.gif, .jpg, .png, .webp) or videos (.webm) to show inside the page.

    Raises:
        FileError: A file is missing or cannot be written, or a preview is of another kind.
        FormatError: A record is not as training writes it.
    """
    run = Path(run)
    settings = _read(run / "args.yaml").decode("utf-8", errors="replace")
    rows = _read_rows(run / "results.csv")
    test, activity = _read_record(run / "test.json", _TestRecord), _read_record(run / "activity.json", ActivityRecord)
    shown = [_media(path, caption) for caption, path in previews]
    curves, confusion, examples = (run / f"{name}.png" for name in ("curves", "confusion_matrix", "examples"))
    kind = test.kind_of_data
    mark = f" ({kind})" if kind else ""
    draw_curves(rows, curves, title=test.title + mark, chosen_epoch=test.chosen_epoch)
    draw_confusion(test.confusion, test.classes, confusion, title=f"{test.title}: test set{mark}")
    draw_examples(activity, test.classes, examples)
    badge = f' <span class="badge">{kind}</span>' if kind else ""
    seconds = sum(row.get("seconds", 0.0) for row in rows)
    trained = f"Training: {len(rows)} epochs" + (f" in {_duration(seconds)}." if seconds > 0 else ".")
    sections = [
        _headline(test, badge),
        _section("Beside simpler classifiers", _comparison(test), badge),
        _section("Preview", "".join(shown), badge) if shown else "",
        _section("Training", _chart(curves, trained), badge),
        _section("Confusion matrix of the test set", _chart(confusion, "Shade: share of the true class."), badge),
        _section("Classes", _class_table(test), badge),
        _section("Examples", _chart(examples, _EXAMPLES), badge),
        _section("Spikes, operations, energy", activity_table(activity), badge),
        _section("Notes", "<ul>" + "".join(f"<li>{escape(note)}</li>" for note in test.notes) + "</ul>")
        if test.notes
        else "",
        _section("Do it again", f"<pre>{escape(test.command)}</pre>" + _environment(test)),
        f"<section><details><summary>Settings</summary><pre>{escape(settings)}</pre></details></section>",
    ]
    return _write_page(run / "report.html", test.title + mark, test.title, sections)


def wilson_interval(correct: int, samples: int) -> tuple[float, float]:
    """The 95 % confidence interval of a share; (0, 1) without samples.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    if samples == 0:
        return 0.0, 1.0
    z2 = 1.959964**2
    centre = (correct + z2 / 2) / (samples + z2)
    half = math.sqrt(z2 * (correct * (samples - correct) / samples + z2 / 4)) / (samples + z2)
    return max(0.0, centre - half), min(1.0, centre + half)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise FileError(f"{path}: no such file") from error
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror})") from error


def _read_rows(path: Path) -> list[dict[str, float]]:
    lines = _read(path).decode("utf-8", errors="replace").splitlines()
    try:
        rows = [{key: float(value or "nan") for key, value in row.items()} for row in csv.DictReader(lines)]
    except (TypeError, ValueError) as error:
        raise FormatError(f"{path}: holds something other than numbers below its header ({error})") from error
    if not rows or "epoch" not in rows[0]:
        raise FormatError(f"{path}: expected a header with the column epoch and at least one row")
    return rows


def _read_record(path: Path, kind: type[Record]) -> Record:
    try:
        return kind.model_validate_json(_read(path))
    except ValidationError as error:
        what = "; ".join(f"{'.'.join(map(str, item['loc']))} {item['msg']}".strip() for item in error.errors())
        raise FormatError(f"{path}: {what}") from error


def _media(path: Path, caption: str, source: str | None = None) -> str:
    """A picture or video as a figure, with its bytes inside unless it has a source."""
    kind = _MEDIA.get(path.suffix.lower())
    if kind is None:
        raise FileError(f"{path}: cannot be shown in a page; use one of {', '.join(_MEDIA)}")
    if source is None:
        source = f"data:{kind};base64,{base64.b64encode(_read(path)).decode()}"
    text = escape(caption)
    if kind.startswith("video"):
        element = f'<video controls loop muted playsinline src="{escape(source)}"></video>'
    else:
        element = f'<img alt="{text}" src="{escape(source)}">'
    return f"<figure>{element}<figcaption>{text}</figcaption></figure>"


def _chart(path: Path, caption: str) -> str:
    """A picture that stays readable on a phone, where it scrolls sideways."""
    return f'<div class="chart">{_media(path, caption)}</div>'


def _write_page(path: Path, title: str, heading: str, sections: Iterable[str]) -> Path:
    """The path of a new page; sections are written one by one, as some hold videos."""
    with write_beside(path) as beside, beside.open("w", encoding="utf-8") as page:
        page.write(
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
            f"<body>\n<main>\n<h1>{escape(heading)}</h1>\n"
        )
        page.writelines(f"{section}\n" for section in sections if section)
        page.write("</main>\n</body>\n</html>\n")
    return path


def _section(heading: str, content: str, badge: str = "") -> str:
    return f"<section><h2>{escape(heading)}{badge}</h2>{content}</section>"


def _headline(test: _TestRecord, badge: str) -> str:
    low, high = wilson_interval(test.correct, test.samples)
    return (
        f'<section><h2>Test accuracy{badge}</h2><div class="figure">{100 * test.accuracy:.2f} %</div>'
        f"<p>{test.correct} of {test.samples} right; 95 % interval (Wilson) {100 * low:.2f} to {100 * high:.2f} %</p>"
        f"<p>Measured on: {escape(test.data)}</p>"
        f'<p class="quiet">The model is that of epoch {test.chosen_epoch}, chosen on the validation split, where it '
        f"reached {100 * test.val_accuracy:.2f} %. The test set was used once, after that choice.</p></section>"
    )


def _class_table(test: _TestRecord) -> str:
    from sklearn.metrics import precision_recall_fscore_support

    confusion = np.array(test.confusion)
    K = len(test.classes)
    true, predicted = (labels.ravel().repeat(confusion.ravel()) for labels in np.indices((K, K)))
    scores = precision_recall_fscore_support(true, predicted, labels=range(K), zero_division=np.nan)
    rows = [
        (name, *("–" if math.isnan(score) else f"{100 * score:.1f}" for score in row), str(samples))
        for name, *row, samples in zip(test.classes, *scores, strict=True)
    ]
    return table(("Class", "Precision %", "Recall %", "F1 %", "Samples"), rows)


def _comparison(test: _TestRecord) -> str:
    """The accuracy beside those of classifiers that know less, with their intervals."""
    K, N = len(test.classes), test.samples
    rows = [("This spiking network", test.accuracy, test.correct)]
    if test.baseline is not None:
        rows.append(
            ("A ReLU network of the same shape, on the sum of the steps", test.baseline.accuracy, test.baseline.correct)
        )
    by_count = test.event_count_accuracy
    rows.append(("A linear classifier that sees only the number of events", by_count, round(by_count * N)))
    cells = [
        (name, f"{100 * accuracy:.2f}", "{:.2f} to {:.2f}".format(*(100 * end for end in wilson_interval(correct, N))))
        for name, accuracy, correct in rows
    ]
    cells.append(("Chance", f"{100 / K:.2f}", ""))
    return table(("Classifier", "Test accuracy %", "95 % interval (Wilson)"), cells)


def _environment(test: _TestRecord) -> str:
    lines = (test.machine, test.versions)
    return "".join(
        f'<p class="quiet">{escape(", ".join(f"{name} {value}" for name, value in line.items()))}</p>' for line in lines
    )


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
