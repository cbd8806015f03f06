"""Predictions as plain records in a folder, a folder below it per recording.

`run.json` says by what network and how. Each recording has `windows` and `segments` (.csv and .jsonl), and
`answer.json`, which is written last and says what it rests on: what has one that rests on the same is done. Of all
together there are `predictions` (.csv and .jsonl) and, where there are labels, `scores.json`.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..checkpoint import digest_of, versions
from ..conversion import find_sources
from ..datasets.labels import SUFFIX
from ..errors import FileError
from ..files import read_record, write_beside
from ..networks import LayerActivity
from .classifier import Classifier, Prediction
from .config import InferConfig
from .scores import Scores

ANSWER, RUN, SCORES = "answer.json", "run.json", "scores.json"
MADE_BY = ("network", "settings", "sensor_given", "hints")  # of a run, what its answers rest on
PARTS = ("windows.jsonl", "segments.jsonl")  # of an answer
SUMMARY = (
    "file", "label", "class", "probability", "certain", "events", "windows", "segments", "duration_s",
)  # fmt: skip
TIMED = ("t_start_us", "t_end_us", "label", "class", "probability")


@dataclass(frozen=True)
class Task:
    """A recording to judge.

    Args:
        source: The recording or video.
        name: Its folder below the folder of answers.
    """

    source: Path
    name: Path


def plan_tasks(sources: Sequence[Path], out: Path | None) -> list[Task]:
    """What there is to judge, and where each answer goes: the layout below a source folder is mirrored.

    Args:
        sources: Recordings, videos, or folders that hold such somewhere below them.
        out: The folder for answers; nothing is looked for in it, nor in other folders of answers.

    Raises:
        FileError: A folder holds no recordings, or the answers for two would go to one place, or into the recordings.
    """
    own = None if out is None else out.resolve()
    for source in sources:
        if source.is_dir() and own in (source.resolve(), *source.resolve().parents):
            raise FileError(f"{out}: holds the recordings of {source}; --out takes a folder for answers alone")

    def is_left_out(path: Path) -> bool:
        place = path.resolve()
        return path.name.endswith(SUFFIX) or place == own or own in place.parents or _is_answered(path)

    tasks: dict[Path, Task] = {}
    for source, name in find_sources(sources, is_left_out):
        if name in tasks and out is not None:
            raise FileError(
                f"{out / name}: the answers for both {tasks[name].source} and {source} would go there; give the folder "
                "that holds both"
            )
        if out is not None and (out / name).is_file():
            raise FileError(f"{out / name}: is a file where the answers for {source} would go; give another --out")
        tasks[name if out is not None else source] = Task(source, name)
    return list(tasks.values())


def _is_answered(path: Path) -> bool:
    """Whether something is part of the answers for a recording, or of all."""
    return any(read_answer(folder) for folder in (path, path.parent)) or "network" in (
        read_record(path.parent / RUN) or {}
    )


def prediction_record(said: Prediction, scores: Scores | None = None) -> dict[str, Any]:
    """A prediction as plain numbers, without its answers and segments."""
    return {
        "file": said.file,
        "label": said.label,
        "class": said.class_name,
        "probability": said.probability,
        "certain": said.certain,
        "probabilities": list(said.probabilities),
        "events": said.events,
        "windows": said.windows,
        "segments": len(said.segments),
        "t_first_us": said.first_us,
        "t_last_us": said.last_us,
        "duration_s": (said.last_us - said.first_us) * 1e-6,
        "rates": said.rates.to_record(),
        "judged_us": said.judged_us,
        "layers": [
            _layer_record(layer, multiplies=place == 0 and not said.counted) for place, layer in enumerate(said.layers)
        ],
        "scores": None if scores is None else scores.to_record(),
        "trained_on": said.trained_on,
    }


def _layer_record(layer: LayerActivity, *, multiplies: bool) -> dict[str, Any]:
    """Its spikes per neuron and step, and its operations: as they come, and without looking for zeros."""
    return {
        "name": layer.name,
        "rate": layer.rate,
        "operations": (layer.nonzero if multiplies else layer.arrived) * layer.fan_out,
        "dense_operations": layer.connections * layer.steps,
        "multiplies": multiplies,
    }


def write_predictions(folder: Path, records: Sequence[dict[str, Any]]) -> None:
    """Writes predictions.csv (the most important columns) and predictions.jsonl (all there is), a row per recording.

    Raises:
        FileError: The folder cannot be written to.
    """
    rows = ([_cell(record[name]) for name in SUMMARY] for record in records)
    _write_csv(folder / "predictions.csv", SUMMARY, rows)
    _write_lines(folder / "predictions.jsonl", records)


def write_answers(folder: Path, said: Prediction, classes: Sequence[str]) -> None:
    """Writes the answers for a recording and its segments: windows and segments, .csv and .jsonl.

    Args:
        folder: Its own.
        said: The prediction.
        classes: Names of all classes.

    Raises:
        FileError: The folder cannot be written to.
    """
    answers = said.answers
    windows = [
        dict(zip((*TIMED, "entropy", "events", "probabilities"), row, strict=True))
        for row in zip(
            answers.start_us.tolist(), answers.end_us.tolist(), answers.labels.tolist(),
            [classes[label] for label in answers.labels], answers.probabilities.max(axis=1).tolist(),
            answers.entropies.tolist(), answers.events.tolist(), answers.probabilities.tolist(), strict=True,
        )
    ]  # fmt: skip
    segments = [
        dict(zip(TIMED, (each.start_us, each.end_us, each.label, each.class_name, each.probability), strict=True))
        for each in said.segments
    ]
    cells_us = answers.cells_us(said.first_us, said.last_us + 1).tolist()
    for window, (begin_us, end_us) in zip(windows, cells_us, strict=True):
        window |= {"t_from_us": begin_us, "t_to_us": end_us}
    for name, rows, columns in (
        ("windows", windows, (*TIMED, "entropy", "events")),
        ("segments", segments, TIMED),
    ):
        _write_csv(folder / f"{name}.csv", columns, ([_cell(row[column]) for column in columns] for row in rows))
        _write_lines(folder / f"{name}.jsonl", rows)


def finish_answer(folder: Path, record: dict[str, Any]) -> None:
    """Writes what `prediction_record` made, after everything else: the recording is done.

    Raises:
        FileError: The folder cannot be written to.
    """
    _write_lines(folder / ANSWER, [record])


def read_answer(folder: Path) -> dict[str, Any] | None:
    """What `finish_answer` wrote, or None where a recording is not done, or what is there is damaged."""
    found = read_record(folder / ANSWER)
    whole = found is not None and "rests_on" in found and all((folder / part).is_file() for part in PARTS)
    return found if whole else None


def rests_on(source: Path, run: dict[str, Any], labels: Path | None, *, pictures: bool) -> dict[str, Any]:
    """What the answer for a recording rests on; where that has changed, it is made anew.

    Args:
        source: The recording.
        run: What `run_record` made.
        labels: Its label file, where there is one.
        pictures: Whether there are pictures of it.

    Raises:
        FileError: A file is missing or cannot be read.
    """
    try:
        found = source.stat()
        told = None if labels is None else _digest(labels.read_bytes())
    except OSError as error:
        raise FileError(f"{error.filename}: cannot be read ({error.strerror})") from error
    return {
        "source": str(source.resolve()),
        "bytes": found.st_size,
        "mtime_ns": found.st_mtime_ns,
        "run": run_digest(run),
        "labels": told,
        "pictures": pictures,
    }


def find_answer(folder: Path, basis: dict[str, Any]) -> dict[str, Any] | None:
    """What `finish_answer` wrote, or None where a recording has to be judged, by what the answer has to rest on.

    Raises:
        FileError: It is the answer for another recording.
    """
    record = read_answer(folder)
    if record is None:
        return None
    before = record["rests_on"]
    if before["source"] != basis["source"]:
        raise FileError(
            f"{folder}: holds the answer for {before['source']}, where that for {basis['source']} would go; "
            "--overwrite replaces it, another --out keeps it"
        )
    return record if before in (basis, {**basis, "pictures": True}) else None


def collect_answers(out: Path, run: dict[str, Any]) -> list[dict[str, Any]]:
    """The records of all recordings in a folder of answers that a run like this one judged, by the names of folders."""
    made_by = run_digest(run)
    found = [(path.parent, read_answer(path.parent)) for path in sorted(out.rglob(ANSWER))]
    return [
        record | {"folder": str(folder.relative_to(out))}
        for folder, record in found
        if record is not None and record["rests_on"]["run"] == made_by
    ]


def run_record(
    classifier: Classifier, checkpoint: Path, config: InferConfig, *, sensor: str | None, hints: Sequence[str] | None
) -> dict[str, Any]:
    """By what network, and how, recordings are judged.

    Args:
        classifier: The network.
        checkpoint: Its file.
        config: Windows and segments.
        sensor: That of recordings that do not name it.
        hints: What else they do not say.

    Raises:
        ConfigError: The configuration does not fit the network.
    """
    return {
        "checkpoint": str(checkpoint),
        "network": network_digest(classifier),
        "trained_on": classifier.config.trained_on,
        "classes": list(classifier.config.classes),
        "sensor": str(classifier.config.sensor),
        "window_us": classifier.window_bins(config).window_us,
        "step_us": classifier.config.bins.step_us,
        "settings": config.model_dump(mode="json"),
        "sensor_given": sensor,
        "hints": hints,
        "versions": versions(),
    }


def network_digest(classifier: Classifier) -> str:
    """A text that is another one for another network."""
    return digest_of({"config": classifier.config.model_dump_json()}, classifier.network.state_dict())


def run_digest(run: dict[str, Any]) -> str:
    """A text that is another one where answers may be others."""
    return _digest(json.dumps([run[name] for name in MADE_BY], sort_keys=True).encode())


def check_run(out: Path, record: dict[str, Any]) -> None:
    """Makes sure that a folder can hold the answers of a run beside those that it has.

    Raises:
        FileError: It holds answers that were made by another network or with other settings.
    """
    path = out / RUN
    if not path.exists():
        return
    before = read_record(path)
    if before is None or not all(name in before for name in MADE_BY):
        raise FileError(f"{path}: not a record of a run, as dvspipe infer writes it; --overwrite replaces it")
    for name in MADE_BY:
        if before[name] != record[name]:
            what = f"another {name.replace('_', ' ')} ({_difference(before, record, name)})"
            raise FileError(f"{out}: holds answers with {what}; --overwrite replaces them, another --out keeps them")


def write_run(out: Path, record: dict[str, Any]) -> None:
    """Says in a folder what run its answers are of, where that is not said yet.

    Raises:
        FileError: The folder cannot be written to.
    """
    if read_record(out / RUN) != record:
        _write_json(out / RUN, record)


def _difference(before: Any, now: dict[str, Any], name: str) -> str:
    """What differs between two runs, in a few words."""
    old, new = before.get(name), now.get(name)
    while isinstance(old, dict) and isinstance(new, dict):
        name = next(key for key in {**new, **old} if old.get(key) != new.get(key))
        old, new = old.get(name), new.get(name)
    return f"{name}: {old}, now {new}"


def write_scores(out: Path, scores: Scores) -> None:
    """Writes the scores of all recordings together.

    Raises:
        FileError: The folder cannot be written to.
    """
    _write_json(out / SCORES, scores.to_record())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _cell(value: Any) -> Any:
    """A number that a person can read; nothing for None."""
    return f"{value:.6f}" if isinstance(value, float) else "" if value is None else value


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with write_beside(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)


def _write_lines(path: Path, records: Iterable[dict[str, Any]]) -> None:
    with write_beside(path) as beside, beside.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


def _write_json(path: Path, record: dict[str, Any]) -> None:
    with write_beside(path) as beside:
        beside.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
