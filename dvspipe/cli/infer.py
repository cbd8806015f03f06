"""Recordings to labels over time."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from ..errors import ConfigError, DvspipeError, count_noun
from .options import (
    AsJson,
    EngineOption,
    Hint,
    JobsOption,
    Overwrite,
    Sensor,
    ShardOption,
    Trust,
    choose_engine,
    note_shard,
    parse_hints,
    parse_sensor,
    parse_shard,
    trust_packages,
)
from .screen import EXIT_SOME_FAILED, fail, make_table, messages, notes, progress, screen, show_name, show_share, skip

if TYPE_CHECKING:
    from ..inference import Classifier, Draw, InferConfig
    from ..results import InferenceRun, OutputFolder, Prediction


CheckpointName = Annotated[
    str,
    typer.Argument(
        metavar="CHECKPOINT",
        help="The folder of a training run, a .safetensors file, a shipped checkpoint, or hf://USER/NAME[@REVISION].",
    ),
]
Recordings = Annotated[list[Path], typer.Argument(metavar="RECORDING", help="Recordings, videos, or folders of them.")]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", metavar="FOLDER", help="Output folder for tables, pictures and report.html; default: print only."
    ),
]
Labels = Annotated[
    Path | None, typer.Option(metavar="PATH", help="Label file, or folder of NAME_labels.csv files, to compute scores.")
]
SettingOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any setting: window_us=300000 and hop_us=100000 (length and distance of windows), stateful=true (no "
        "windows), fit=crop|scale (another sensor), roi=WxH+X+Y|auto|full (auto: find and follow the person), "
        "pose=true (videos by joints and events), segments.enter=0.7, video.simulator.pos_thres=0.3, ... "
        "Default: as in the training. Repeatable.",
    ),
]
Adapt = Annotated[bool, typer.Option("--adapt", help="Adapt the network to the sensor of all given recordings first.")]
NoPictures = Annotated[bool, typer.Option("--no-pictures", help="Write tables only, no timelines and videos.")]


def infer(
    checkpoint: CheckpointName,
    recordings: Recordings,
    out: Out = None,
    adapt: Adapt = False,
    labels: Labels = None,
    settings: SettingOptions = None,
    sensor: Sensor = None,
    hint: Hint = None,
    trust: Trust = None,
    jobs: JobsOption = None,
    engine: EngineOption = "local",
    shard: ShardOption = None,
    no_pictures: NoPictures = False,
    as_json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Classify recordings over time: labels with their probabilities."""
    from ..inference import Classifier, ClassifyOptions, classify_many, find_finished, plan_tasks
    from ..results import OutputFolder

    options = ClassifyOptions(
        config=build_config(settings),
        sensor=parse_sensor(sensor),
        hints=parse_hints(hint),
        adapt=adapt,
        labels=labels,
        out=out,
        draw=None if no_pictures or out is None else _find_draw(),
    )
    done_by, share = choose_engine(jobs, engine), parse_shard(shard)
    if adapt and share.count > 1:
        raise ConfigError(f"--adapt: adapts to all recordings, and --shard {share} gives some of them")
    tasks = plan_tasks(recordings, out, shard=share)
    note_shard(share, len(tasks))
    if not tasks:
        return
    classifier = Classifier.load(checkpoint, trust=trust_packages(trust))
    run = options.record_run(classifier, tasks)
    results = {} if overwrite else find_finished(tasks, run, options)
    if results:
        which = f"{len(results)} of {len(tasks)} recordings are" if len(tasks) > 1 else "the recording is"
        say = messages.print if as_json else notes.print
        say(f"{which} already classified; use --overwrite to repeat it")
    if as_json:
        for result in results.values():
            _print_json(result)
    finished = frozenset(results)
    errors: list[DvspipeError] = []
    with progress() as show:
        shown = show_share(show, len(tasks) - len(finished))
        for outcome in classify_many(
            tasks, classifier, options, engine=done_by, overwrite=overwrite, finished=finished, progress=shown
        ):
            if outcome.error is None:
                results[outcome.item] = outcome.result().as_stored()
                if as_json:
                    _print_json(results[outcome.item])
            elif len(tasks) == 1 and share.count == 1:
                raise outcome.error
            else:
                errors.append(outcome.error)
                skip(outcome.error)
    predictions = [results[task] for task in tasks if task in results]
    if predictions:
        note_overrides(classifier, options.config, [task.source for task in tasks if task in results])
    if not as_json:
        print_predictions(predictions)
        if predictions:
            _note_calibration(classifier.config.calibrated_on)
    if out is not None and predictions:
        _write_page(OutputFolder(out), run, predictions, as_json=as_json)
    if errors:
        fail(f"{len(errors)} of {len(tasks)} recordings could not be classified", EXIT_SOME_FAILED)


def note_overrides(classifier: Classifier, config: InferConfig, sources: Sequence[Path]) -> None:
    """Say which settings of the framing differ from the training of the network, as far as they change something."""
    from ..recordings.conversion import is_video

    if not classifier.find_overrides(config):
        return
    if overrides := classifier.find_overrides(config, videos=any(map(is_video, sources))):
        messages.print(f"differs from the training: {', '.join(overrides)}", markup=False, highlight=False)


def _note_calibration(recordings: int | None) -> None:
    from ..checkpoints.checkpoint import FEW_CALIBRATED

    if recordings is not None and recordings < FEW_CALIBRATED:
        notes.print(f"Its probabilities were calibrated on only {count_noun(recordings, 'recording')} and are rough.")


def _print_json(prediction: Prediction) -> None:
    from ..results import RecordingResult

    result = RecordingResult(answer=prediction, segments=prediction.segments)
    sys.stdout.write(result.model_dump_json() + "\n")
    sys.stdout.flush()


def build_config(settings: list[str] | None) -> InferConfig:
    """Return the configuration that --set gives."""
    from ..config import build, parse_overrides
    from ..inference import InferConfig

    return build(InferConfig, parse_overrides(settings or []), "infer")


def _find_draw() -> Draw:
    from ..report import draw_recording

    return draw_recording


def _write_page(folder: OutputFolder, run: InferenceRun, done: Sequence[Prediction], *, as_json: bool) -> None:
    """Write the report of all recordings in the folder, and say how many of them are not among those that are done."""
    from ..report import write_answers_page
    from ..results import add_scores

    found = folder.find_predictions(run, done)
    report = write_answers_page(folder, run, found, add_scores(each.scores for each in found))
    if (earlier := len(found) - len(done)) > 0:
        say = messages.print if as_json else notes.print
        say(f"{show_name(folder.path)}: the tables also have {count_noun(earlier, 'recording')} from before")
    if not as_json:
        notes.print(f"report: {show_name(report)}")


def print_predictions(predictions: Sequence[Prediction]) -> None:
    """Print a row per recording, what the network was trained on, and scores."""
    from ..results import add_scores

    if not predictions:
        return
    looked = [] if all(each.is_complete for each in predictions) else ["looked at"]
    rows = [("file", "label", "class", "probability", "segments", "events", *looked)]
    for each in predictions:
        name = each.class_name if each.certain else f"{each.class_name}, uncertain"
        numbers = f"{each.probability:.1%}", str(each.segment_count), f"{each.events:,}"
        rows.append((show_name(each.file), str(each.label), name, *numbers, *([each.place] if looked else [])))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if screen.is_terminal and sum(widths) + 2 * len(widths) > screen.width:
        table = make_table(*rows[0], right=("probability", "segments", "events"))
        for column in table.columns[1:]:
            column.no_wrap = True  # the names of files are wrapped
        for row in rows[1:]:
            table.add_row(*map(Text, row))
        screen.print(table)
    else:
        for row in rows:
            cells = zip(row, widths, "<><>>><", strict=False)
            screen.print("  ".join(f"{cell:{side}{width}}" for cell, width, side in cells).rstrip())
    if any(each.basis != "events" for each in predictions):
        screen.print("By joints and events: the pictures of the videos were used too.")
    if predictions[0].trained_on:
        screen.print(f"The network was trained on: {predictions[0].trained_on}")
    if (scores := add_scores(each.scores for each in predictions)) is not None:
        from ..report import score_line

        screen.print(score_line(scores))
