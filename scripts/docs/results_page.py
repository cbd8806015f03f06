"""Write docs/reference/results.md, the reference of all output files: `python scripts/docs/results_page.py`.

The page is generated from the models in dvspipe/results and their docstrings; a test compares it with the file. It has
the fields of the records that most programs read. The page "Fields of output files" of the site has the other fields.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from dvspipe.results import (
    ActivityRecord,
    AdaptationRecord,
    CompositionRow,
    Dependencies,
    EpochRow,
    EvaluationResult,
    EventImage,
    EventRates,
    Finding,
    InferenceRun,
    KernelRecord,
    LabelRow,
    LayerActivity,
    LockedFile,
    LockHeader,
    LookRow,
    NormShift,
    OutputFolder,
    PairedTest,
    Playback,
    Prediction,
    Record,
    RecordingFolder,
    RecordingPrediction,
    RecordingResult,
    Row,
    RunFolder,
    SegmentRow,
    ShippedRecord,
    ShippedScore,
    ShippedSource,
    SplitRow,
    TestResult,
    TimeScores,
    WindowRow,
    WrongPrediction,
)
from dvspipe.results.tables import FolderFile
from dvspipe.streaming.answers import LiveAnswer
from dvspipe.verbs.diagnosis import Check, Diagnosis

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "results.md"
INTRODUCTION = """# Output files

Every file that training and inference write, with its columns and fields. The names of times end in their unit: `_us`
or `_s`. A JSON file holds one object, a JSON Lines file (`.jsonl`) one object per line with all fields, and a CSV file
one row per object with the listed columns. Numbers in CSV files have nine significant digits. Absent values are `null`
in JSON and empty in CSV. Files are complete or absent.

Text in CSV files that begins with `=`, `+`, `-` or `@` gets a leading apostrophe: a spreadsheet would execute it as a
formula. `splits.csv` and label files have none, because dvspipe reads their names again.

In Python, `dvspipe.results` has a frozen model for each kind of file that reads and writes itself:

```python
from pathlib import Path
from dvspipe.results import RunFolder, TestResult

print(TestResult.read(RunFolder(Path("runs/demo")).test).accuracy)
```

Records without a table of fields here are on the page [Fields of output files](../generated/fields.md) of the site;
`help(dvspipe.results.Finding)` describes one of them. `scripts/docs/results_page.py` generates both from the models.
"""
FIELDS = """# Fields of output files

The records of [Output files](../reference/results.md) whose fields few programs read.
"""
COMMON = frozenset(
    {TestResult, EpochRow, EvaluationResult, Prediction, WindowRow, SegmentRow, LiveAnswer, SplitRow, LockedFile}
)
"""Records whose fields are on the page itself."""
TRAINING = (
    TestResult,
    WrongPrediction,
    Finding,
    EpochRow,
    ActivityRecord,
    LayerActivity,
    KernelRecord,
    EventImage,
)
EVALUATION = (EvaluationResult, RecordingPrediction, PairedTest)
ADAPTATION = (AdaptationRecord, NormShift)
INFERENCE = (
    InferenceRun,
    Prediction,
    LookRow,
    WindowRow,
    SegmentRow,
    LabelRow,
    EventRates,
    TimeScores,
    Dependencies,
    Playback,
    RecordingResult,
)

SPLITS = (SplitRow,)
COMPOSITION = (CompositionRow,)
LOCK = (LockHeader, LockedFile)
SHIPPED = (ShippedRecord, ShippedSource, ShippedScore)


def render() -> str:
    """Return the page as Markdown."""
    lines = [
        INTRODUCTION,
        "## The folder of a training run\n",
        *_files(RunFolder),
        *_models(TRAINING),
        "## Evaluation\n",
        "`dvspipe evaluate --out FILE.json` writes the first object. "
        "`FILE.csv` is a table of the predictions: `name`, `label`, `predicted`, and `p_CLASS` for each class.\n",
        *_models(EVALUATION),
        "## Adaptation\n",
        "`dvspipe adapt --json` prints this object.\n",
        *_models(ADAPTATION),
        "## The output folder of inference\n",
        *_files(OutputFolder),
        "\nIt has a folder for each recording, with these files:\n",
        *_files(RecordingFolder),
        *_models(INFERENCE),
        "## Live streams\n",
        "`dvspipe live --json` prints this object for each prediction.\n",
        *_models((LiveAnswer,)),
        "## This machine\n",
        "`dvspipe doctor --json` prints a `Diagnosis`.\n",
        *_models((Diagnosis, Check)),
        "## The composition of a data set\n",
        "`dvspipe data stats -o FILE.csv` writes these rows.\n",
        *_models(COMPOSITION),
        "## The lock of a data set\n",
        "`dataset.lock` is a JSON Lines file: the first line is a `LockHeader`, each other line a `LockedFile`. "
        "`dvspipe data verify` compares a folder with it.\n",
        *_models(LOCK),
        "## The splits of a data set\n",
        "`splits.csv` in a folder of recordings has the published splits. `dvspipe train` uses one of them.\n",
        *_models(SPLITS),
        "## The included classifiers\n",
        "`NAME.json` in `dvspipe/checkpoints`, beside the weights. `scripts/docs/cards.py` makes the model cards.\n",
        *_models(SHIPPED),
    ]
    return "\n".join(lines).rstrip() + "\n"


def render_fields() -> str:
    """Return the page of the site with the fields of the other records as Markdown."""
    groups: tuple[tuple[type[Record], ...], ...] = (
        TRAINING,
        EVALUATION,
        ADAPTATION,
        INFERENCE,
        COMPOSITION,
        LOCK,
        SPLITS,
        SHIPPED,
    )
    others = [model for model in itertools.chain(*groups) if model not in COMMON]
    lines = [FIELDS, *itertools.chain.from_iterable(_fields(model, "##") for model in others)]
    return "\n".join(lines).rstrip() + "\n"


def _files(folder: type[RunFolder | OutputFolder | RecordingFolder]) -> Iterator[str]:
    yield "| file | content |"
    yield "|---|---|"
    for name, member in vars(folder).items():
        if isinstance(member, FolderFile):
            yield f"| `{member.name}` | {_sentence(member.content)} |"
        elif isinstance(member, property):  # a folder in the folder
            yield f"| `{name}` | {_sentence(member.__doc__)} |"
    yield ""


def _models(models: tuple[type[Record], ...]) -> Iterator[str]:
    """Yield the fields of the common records, and a table of the others."""
    for model in models:
        if model in COMMON:
            yield from _fields(model)

    others = [model for model in models if model not in COMMON]
    if others:
        yield "| record | content |"
        yield "|---|---|"
        for model in others:
            yield f"| `{model.__name__}` | {_sentence(model.__doc__)} |"
        yield ""


def _fields(model: type[Record], heading: str = "###") -> Iterator[str]:
    yield f"{heading} {model.__name__}\n"
    yield f"{_sentence(model.__doc__)}\n"
    if issubclass(model, Row):
        yield f"Columns of the CSV file: {', '.join(f'`{name}`' for name in model.columns)}.\n"
    yield "| field | type | meaning |"
    yield "|---|---|---|"
    model.model_rebuild()  # types of computed fields
    meanings = _meanings(model)

    for name, field in model.model_fields.items():
        if field.exclude:
            continue
        yield f"| `{field.serialization_alias or name}` | {_type(model, name)} | {_sentence(meanings.get(name))} |"

    for name, computed in model.model_computed_fields.items():
        kind = _plain(computed.return_type)
        yield f"| `{name}` | {kind} | {_sentence(computed.wrapped_property.__doc__)} |"

    yield ""


def _meanings(model: type[Record]) -> dict[str, str]:
    """Return the docstring below each field of a model and its base classes."""
    found: dict[str, str] = {}
    for owner in (each for each in reversed(model.__mro__) if issubclass(each, Record)):
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
        assert isinstance(body, ast.ClassDef)
        for member, text in itertools.pairwise(body.body):
            if (
                isinstance(member, ast.AnnAssign)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
            ):
                found[ast.unparse(member.target)] = inspect.cleandoc(str(text.value.value))

    return found


def _type(model: type[Record], name: str) -> str:
    for owner in model.__mro__:
        if name in vars(owner).get("__annotations__", {}):
            return _plain(vars(owner)["__annotations__"][name])
    return ""


def _plain(annotation: object) -> str:
    """Return a type annotation in JSON terms."""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    text = text.replace(" | None", " or null").replace("Counts", "lists of int").replace("FileText", "str")
    text = re.sub(r"dict\[str, (\w+)\]", r"object of \1", text)
    while (shorter := re.sub(r"tuple\[([\w ]+)(, (\.\.\.|[\w ]+(, [\w ]+)*))?\]", r"list of \1", text)) != text:
        text = shorter
    return text.replace("str", "text").replace("JsonValue", "settings")


def _sentence(text: str | None) -> str:
    return " ".join(inspect.cleandoc(text or "").partition("\n\n")[0].split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
    print(PAGE)
