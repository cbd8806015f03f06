"""Command `infer`: classify recordings over time."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..base.errors import ConfigError, DvspipeError, count_noun
from .activity import show_share
from .options import (
    AsJson,
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
from .screen import TextTable, fail_inputs, messages, notes, progress, screen, show_name, skip

if TYPE_CHECKING:
    from ..inference import Classifier, Draw, InferConfig
    from ..results import InferenceRun, OutputFolder, Prediction


CheckpointName = Annotated[
    str,
    typer.Argument(
        metavar="CHECKPOINT",
        help="Run folder, .safetensors file, name of an included checkpoint, or hf://USER/NAME or hf://USER/NAME@REVISION.",
    ),
]
Recordings = Annotated[list[Path], typer.Argument(metavar="RECORDING", help="Recordings, videos, or folders of these.")]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", metavar="FOLDER", help="Output folder for tables, pictures and report.html; default: print only."
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH", help="Label file, or folder of NAME_labels.csv files, to compute scores; default: no scores."
    ),
]
SettingOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Inference setting: window_us=300000 and hop_us=100000 (length and step of windows), stateful=true (no "
        "windows), fit=crop|scale (for another sensor size), roi=WxH+X+Y|auto|full (auto: track the moving person), "
        "pose=true (classify videos by joints and events), segments.enter=0.7, video.simulator.pos_thres=0.3, ...; "
        "default: as in training. Repeatable.",
    ),
]
Adapt = Annotated[bool, typer.Option("--adapt", help="First adapt the network to the sensor of all recordings.")]
InferEngine = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="local|integer|ray[=ADDRESS]",
        help="Where to run: local processes, or a Ray cluster; or integer: local processes, with a network in integers "
        "(a file of dvspipe quantise, or an included classifier), without torch.",
    ),
]
NoPictures = Annotated[bool, typer.Option("--no-pictures", help="Write only tables, without timelines and videos.")]


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
    engine: InferEngine = "local",
    shard: ShardOption = None,
    no_pictures: NoPictures = False,
    as_json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Classify recordings over time: labels, probabilities and segments."""
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
    in_integers = engine == "integer"
    done_by, share = choose_engine(jobs, "local" if in_integers else engine), parse_shard(shard)
    if adapt and share.count > 1:
        raise ConfigError(f"--adapt: cannot be combined with --shard {share}, because it needs all recordings")
    tasks = plan_tasks(recordings, out, shard=share)
    note_shard(share, len(tasks))
    if not tasks:
        return
    classifier = Classifier.load(checkpoint, trust=trust_packages(trust), engine="integer" if in_integers else "torch")
    run = options.record_run(classifier, tasks)
    results = {} if overwrite else find_finished(tasks, run, options)
    if results:
        description = f"{len(results):,} of {len(tasks):,} recordings are" if len(tasks) > 1 else "the recording is"
        say = messages.print if as_json else notes.print
        say(f"{description} already classified; use --overwrite to classify again")
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
        print_predictions(predictions, finds_person=run.finds_person)
        if predictions:
            _note_calibration(classifier.config.calibrated_on)
    if out is not None and predictions:
        _write_page(OutputFolder(out), run, predictions, as_json=as_json)
    fail_inputs(len(errors), len(tasks), "recordings could not be classified")


def note_overrides(classifier: Classifier, config: InferConfig, sources: Sequence[Path]) -> None:
    """Print the framing settings that differ from training, if they have an effect."""
    from ..recordings.conversion import is_video

    if not classifier.find_overrides(config):
        return
    if overrides := classifier.find_overrides(config, videos=any(map(is_video, sources))):
        messages.print(f"settings that differ from training: {', '.join(overrides)}", markup=False, highlight=False)


def _note_calibration(recordings: int | None) -> None:
    from ..checkpoints.checkpoint import FEW_CALIBRATED

    if recordings is not None and recordings < FEW_CALIBRATED:
        notes.print(f"Probabilities are approximate: calibrated on only {count_noun(recordings, 'recording')}.")


def _print_json(prediction: Prediction) -> None:
    from ..results import RecordingResult

    result = RecordingResult(answer=prediction, segments=prediction.segments)
    sys.stdout.write(result.model_dump_json() + "\n")
    sys.stdout.flush()


def build_config(settings: list[str] | None) -> InferConfig:
    """Build the configuration from the options --set."""
    from ..base.config import build, parse_overrides
    from ..inference import InferConfig

    return build(InferConfig, parse_overrides(settings or []), "infer")


def _find_draw() -> Draw:
    from ..report import draw_recording

    return draw_recording


def _write_page(folder: OutputFolder, run: InferenceRun, done: Sequence[Prediction], *, as_json: bool) -> None:
    """Write the report of all recordings in the folder, and print the number of recordings of earlier runs."""
    from ..report import write_answers_page
    from ..results import add_scores

    found = folder.find_predictions(run, done)
    report = write_answers_page(folder, run, found, add_scores(each.scores for each in found))
    if (earlier := len(found) - len(done)) > 0:
        say = messages.print if as_json else notes.print
        say(f"{show_name(folder.path)}: the tables also contain {count_noun(earlier, 'recording')} of earlier runs")
    if not as_json:
        notes.print(f"report: {show_name(report)}")


def print_predictions(predictions: Sequence[Prediction], *, finds_person: bool = False) -> None:
    """Print a row per recording, whether the network was trained on synthetic data or adapted, and scores.

    Args:
        predictions: Predictions to print.
        finds_person: See `InferenceRun.finds_person`.
    """
    from ..results import add_scores, describe_adaptation, describe_training_data

    if not predictions:
        return
    regions = [] if all(each.is_complete for each in predictions) else ["region"]
    table = TextTable(
        *("file", "label", "class", "probability", "segments", "events", *regions),
        right=("label", "probability", "segments", "events"),
        optional=(*regions, "label", "events", "segments"),
    )
    for each in predictions:
        name = each.class_name if each.certain else f"{each.class_name}, uncertain"
        region = [each.describe_region(finds_person=finds_person)] if regions else []
        numbers = f"{each.probability:.1%}", each.segment_count, f"{each.events:,}"
        table.add_row(each.file, each.label, name, *numbers, *region)
    screen.print(table)
    if any(each.basis != "events" for each in predictions):
        screen.print("By joints and events: the pictures of the videos were used too.")
    trained_on = predictions[0].trained_on
    limits = [*filter(None, (describe_training_data(trained_on), describe_adaptation(trained_on)))]
    if limits:
        screen.print(f"network: {', '.join(limits)}")
    if (scores := add_scores(each.scores for each in predictions)) is not None:
        from ..report import score_line

        screen.print(score_line(scores))
