"""The answers for recordings as one self-contained page, made from the records that inference stores."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import numpy as np

from ..errors import FormatError
from ..events import Events, SensorSize
from .activity import ADD_PJ, MULTIPLY_ADD_PJ, SOURCE, joules, table
from .charts import _QUIET, _SMALL, _VALIDATION, _figure, _plain, _save, draw_confusion
from .page import _chart, _media, _read, _section, _write_page
from .timelines import Rows, draw_timeline, write_overlay

TIMELINE, OVERLAY, PAGE = "timeline.png", "overlay.webm", "report.html"
MOST_OPEN = 3  # recordings whose pictures are unfolded at first
MOST_BYTES = 48 << 20  # of videos inside the page; it plays larger ones from beside it
MOST_SEGMENTS = 200  # in the table of a recording


def write_pictures(
    folder: Path, record: Mapping[str, Any], parts: Iterable[Events], sensor: SensorSize, classes: Sequence[str]
) -> None:
    """Writes timeline.png and overlay.webm of a recording into the folder of its records.

    Args:
        folder: Holds windows.jsonl and segments.jsonl.
        record: What will stand in answer.json.
        parts: Consecutive parts of the recording.
        sensor: Its sensor.
        classes: Names of all classes.

    Raises:
        FileError: A record is missing, or a picture cannot be written.
    """
    windows, segments = _read_rows(folder / "windows.jsonl"), _read_rows(folder / "segments.jsonl")
    draw_timeline(windows, segments, record, classes, folder / TIMELINE)
    write_overlay(parts, sensor, windows, segments, record, folder / OVERLAY)


def write_answers_page(out: Path) -> Path:
    """The path of OUT/report.html: what every recording of a run shows, with its timeline and overlay inside.

    Args:
        out: The folder of a run: run.json, predictions.jsonl, a folder for each recording, and scores.json where there
            are labels.

    Raises:
        FileError: A record is missing, or the page cannot be written.
        FormatError: A record is not as inference writes it.
    """
    records = _read_rows(out / "predictions.jsonl")
    title = "What a recording shows" if len(records) == 1 else f"What {len(records)} recordings show"
    return _write_page(out / PAGE, title, title, _sections(out, records))


def _sections(out: Path, records: Rows) -> Iterator[str]:
    (run,) = _read_rows(out / "run.json")
    kind = "synthetic training data" if "synthetic" in run["trained_on"] else ""
    badge = f' <span class="badge">{kind}</span>' if kind else ""
    yield _section("Recordings", _overview(records), badge)
    if (out / "scores.json").is_file():
        (scores,) = _read_rows(out / "scores.json")
        yield _section("Against the labels", _scores(scores, run), badge)
    room = MOST_BYTES
    for number, record in enumerate(records):
        folder = out / record["folder"]
        size = (folder / OVERLAY).stat().st_size if (folder / OVERLAY).is_file() else 0
        pictures = _pictures(folder, None if size <= room else f"{quote(record['folder'])}/{OVERLAY}")
        room -= size if size <= room else 0
        yield _recording(number, record, folder, badge, pictures, is_open=number < MOST_OPEN)
    yield _section("Spikes and operations", _operations(records))
    yield _section("How", _how(run))
    settings = escape(json.dumps(run, indent=1))
    yield f"<section><details><summary>Settings</summary><pre>{settings}</pre></details></section>"


def _read_rows(path: Path) -> list[dict[str, Any]]:
    """The objects of a file: one, or one per line."""
    text = _read(path).decode("utf-8", errors="replace")
    try:
        found = [json.loads(text)] if path.suffix == ".json" else [json.loads(line) for line in text.splitlines()]
    except ValueError as error:
        raise FormatError(f"{path}: not JSON as inference writes it ({error})") from error
    if not all(isinstance(row, dict) for row in found):
        raise FormatError(f"{path}: expected an object in each line")
    return found


def _answer(record: Mapping[str, Any]) -> str:
    return escape(record["class"].replace("_", " ")) + ("" if record["certain"] else ' <span class="quiet">?</span>')


def _overview(records: Rows) -> str:
    columns = "Recording", "Shows", "Probability", "Segments", "Seconds", "Events"
    head = "".join(f"<th>{name}</th>" for name in columns)
    body = "".join(
        f'<tr><td><a href="#r{number}">{escape(record["folder"])}</a></td><td>{_answer(record)}</td>'
        f"<td>{100 * record['probability']:.1f} %</td><td>{record['segments']}</td>"
        f"<td>{record['duration_s']:,.2f}</td><td>{record['events']:,}</td></tr>"
        for number, record in enumerate(records)
    )
    doubtful = sum(not record["certain"] for record in records)
    note = '<p class="quiet">? : no class is probable enough over the whole recording.</p>' if doubtful else ""
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>{note}'


def _pictures(folder: Path, source: str | None) -> str:
    """Timeline and overlay of a recording, where it has them, the overlay inside the page unless a source is given."""
    timeline, overlay = folder / TIMELINE, folder / OVERLAY
    content = _chart(timeline, "The darker, the more probable.") if timeline.is_file() else ""
    if overlay.is_file():
        content += _media(overlay, "ON red, OFF blue; below, what is shown and its probability.", source)
    return content


def _recording(
    number: int, record: Mapping[str, Any], folder: Path, badge: str, content: str, *, is_open: bool
) -> str:  # fmt: skip
    """Pictures and segments of one recording."""
    segments = _read_rows(folder / "segments.jsonl")
    head = "".join(f"<th>{name}</th>" for name in ("Shown", "From s", "To s", "Probability"))
    begin_us = record["t_first_us"]
    rows = "".join(
        f"<tr><td>{escape(row['class'].replace('_', ' '))}</td>"
        f"<td>{(row['t_start_us'] - begin_us) / 1e6:.3f}</td><td>{(row['t_end_us'] - begin_us) / 1e6:.3f}</td>"
        f"<td>{100 * row['probability']:.1f} %</td></tr>"
        for row in segments[:MOST_SEGMENTS]
    )
    more = len(segments) - MOST_SEGMENTS
    note = f'<p class="quiet">{more:,} more are in segments.csv.</p>' if more > 0 else ""
    table = f'<div class="scroll"><table><tr>{head}</tr>{rows}</table></div>{note}'
    content += f"<details><summary>{len(segments)} segment{'s' * (len(segments) != 1)}</summary>{table}</details>"
    if record.get("scores"):
        content += f"<p>{escape(score_line(record['scores']))}</p>"
    answer = f"{_answer(record)}, {100 * record['probability']:.1f} %"
    opened = f"<details{' open' if is_open else ''}><summary>{escape(record['folder'])}: {answer}{badge}</summary>"
    return f'<section id="r{number}">{opened}{content}</details></section>'


def score_line(scores: Mapping[str, Any]) -> str:
    """The scores of a recording, or of several together, in one line."""
    told = []
    if scores["accuracy"] is not None:
        told.append(f"{scores['accuracy']:.1%} of {scores['answers']:,} answers right")
    if scores["segment_f1"] is not None:
        found = f"{scores['segments_found']} of {scores['labels']} labels found, by {scores['segments']} segments"
        told.append(f"segment F1 at an overlap of 0.5: {scores['segment_f1']:.3f} ({found})")
    if scores["median_delay_us"] is not None:
        answered = f"{scores['labels_answered']} of {scores['labels']}"
        told.append(
            f"median delay to the first right answer {scores['median_delay_us'] / 1000:,.0f} ms ({answered} answered)"
        )
    if scores["calibration_error"] is not None:
        told.append(f"expected calibration error {scores['calibration_error']:.1%}")
    return "; ".join(told) or "nothing is labelled"


def _scores(scores: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    content = f"<p>{escape(score_line(scores))}</p>"
    with TemporaryDirectory() as place:
        chart = Path(place) / "chart.png"
        draw_confusion(scores["confusion"], [name.replace("_", " ") for name in run["classes"]], chart)
        content += _chart(chart, "Answers by the class that the labels name (row) and the one answered.")
        _draw_sureness(scores, chart)
        content += _chart(chart, "How soon answers are right, and how often against how sure they are.")
    return content


def _draw_sureness(scores: Mapping[str, Any], path: Path) -> None:
    """Accuracy against the time seen, and against the probability."""
    figure = _figure(width=9, height=2.9, title="")
    soon, sure = figure.subplots(1, 2)
    _plain(soon, "Right answers in %, by time since the start")
    seen_s, (lasting, right) = np.array(scores["seen_us"]) / 1e6, np.array(scores["seen"])
    there = lasting > 0
    soon.plot(seen_s[there], 100 * right[there] / lasting[there], color=_VALIDATION, linewidth=1.6)
    soon.set_ylim(0, 102)
    soon.set_xlim(0, seen_s[there].max(initial=1e-3))
    soon.set_xlabel("seconds since the start of what the label names", **_SMALL)
    _plain(sure, "Right answers in %, by probability")
    count, total, good = np.array(scores["calibration"])
    filled = count > 0
    sure.plot([0, 100], [0, 100], color=_QUIET, linewidth=0.8, linestyle=(0, (4, 3)))
    sure.scatter(
        100 * total[filled] / count[filled], 100 * good[filled] / count[filled], color=_VALIDATION, zorder=3,
        s=12 + 120 * count[filled] / count.max(initial=1),
    )  # fmt: skip
    sure.set_xlim(0, 102)
    sure.set_ylim(0, 104)
    sure.set_xlabel("probability of the answer in % (area: how many)", **_SMALL)
    for axes in (soon, sure):
        axes.xaxis.get_major_locator().set_params(integer=False)
    _save(figure, path)


def add_layers(records: Rows) -> list[dict[str, Any]]:
    """The operations of all recordings together, a row per layer; rates are means over them."""
    together = []
    for layers in zip(*(record["layers"] for record in records), strict=True):
        rates = [layer["rate"] for layer in layers if layer["rate"] is not None]
        sums = {name: sum(layer[name] for layer in layers) for name in ("operations", "dense_operations")}
        together.append({**layers[0], "rate": sum(rates) / len(rates) if rates else None, **sums})
    return together


def _operations(records: Rows) -> str:
    """A table per layer, per second of what was judged."""
    judged_s = sum(record["judged_us"] for record in records) / 1e6
    layers = add_layers(records)
    rows = [
        (
            layer["name"],
            "–" if layer["rate"] is None else f"{layer['rate']:.3f}",
            f"{layer['operations'] / judged_s:,.0f}",
            f"{layer['dense_operations'] / judged_s:,.0f}",
            f"{layer['operations'] / max(1, layer['dense_operations']):.1%}",
        )
        for layer in layers
    ]
    spent_pj = sum(layer["operations"] * (MULTIPLY_ADD_PJ if layer["multiplies"] else ADD_PJ) for layer in layers)
    dense_pj = sum(layer["dense_operations"] for layer in layers) * MULTIPLY_ADD_PJ
    return (
        table(("Layer", "Spikes per neuron and step", "Synaptic operations/s", "Dense operations/s", "Share"), rows)
        + f"<p>Estimated {joules(spent_pj / judged_s)} per second of recording that was judged; "
        f"{joules(dense_pj / judged_s)} without looking for zeros.</p>"
        '<p class="quiet">A synaptic operation is a spike that reaches a neuron. '
        f"{ADD_PJ} pJ for an addition, {MULTIPLY_ADD_PJ} pJ for a multiplication with addition, 32-bit floats at "
        f"45 nm: {escape(SOURCE)}. Membranes, and moving data, are not counted.</p>"
    )


def _how(run: Mapping[str, Any]) -> str:
    settings = run["settings"]
    window_ms, step_ms = run["window_us"] / 1000, run["step_us"] / 1000
    if settings["stateful"]:
        way = f"The network's state runs on; its outputs are averaged with a time constant of {window_ms:g} ms."
    else:
        hop_ms = (settings["hop_us"] or run["window_us"]) / 1000
        way = f"Windows of {window_ms:g} ms, one every {hop_ms:g} ms, in steps of {step_ms:g} ms."
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    return (
        f"<p>{escape(run['checkpoint'])}, for a sensor of {run['sensor']}, trained on {escape(run['trained_on'])}.</p>"
        f'<p>{escape(way)}</p><p class="quiet">{escape(versions)}</p>'
    )
