"""Command `infer`: classify recordings over time."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import ConfigError, DvspipeError, count_noun
from ..base.gestures import OTHER
from ..base.texts import TextTable, readable, show_name
from ..inference import InferConfig
from ..verbs.classification import Inference, check_files
from ..verbs.classification import infer as verb
from .activity import ShownShare
from .commands import OF_FILES, takes
from .options import (
    AsJson,
    ShardName,
    Trust,
    note_shard,
    parse_shard,
)
from .screen import fail_inputs, messages, notes, print_parts, progress, screen, skip

if TYPE_CHECKING:
    from ..inference import Classifier
    from ..results import OutputFolder, Prediction


@takes(verb, without=("trust", *OF_FILES))
def infer(
    checkpoint: str,
    recordings: list[Path],
    out: Path | None = None,
    *,
    adapt: bool = False,
    pictures: bool = True,
    trust: Trust = None,
    jobs: int | str = 1,
    shard: ShardName = None,
    as_json: AsJson = False,
    overwrite: bool = False,
    config: InferConfig = InferConfig(),
    **given: Any,
) -> None:
    from ..inference import Classifier, ClassifyOptions, plan_tasks
    from ..results import OutputFolder

    options = ClassifyOptions(config=config, adapt=adapt, out=out, pictures=pictures, **given)

    share = parse_shard(shard)
    if adapt and share.count > 1:
        raise ConfigError(f"--adapt: cannot be combined with --shard {share}, because it needs all recordings")

    tasks = plan_tasks(recordings, out, shard=share)
    check_files(tasks)
    note_shard(share, len(tasks))
    if not tasks:
        return

    classifier = Classifier.load(checkpoint, trust=tuple(trust or ()))
    inference = Inference(classifier, tasks, options, overwrite)

    # Predictions of an earlier run are listed with the new ones.
    results = dict(inference.finished)
    _show_earlier(results.values(), len(tasks), as_json=as_json)
    errors: list[DvspipeError] = []
    with progress() as show:
        for outcome in inference.classify(jobs, ShownShare(show)):
            if outcome.error is None:
                results[outcome.item] = outcome.result().as_stored()
                if as_json:
                    _print_json(results[outcome.item])
            elif len(tasks) == 1 and share.count == 1:
                # The error of a single recording ends the command; a share can have a single recording by chance.
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
        _write_page(inference, OutputFolder(out), predictions, as_json=as_json)

    # The prediction for a truncated video is only for a part of it.
    truncated = sum(prediction.truncated_at_us is not None for prediction in predictions)
    fail_inputs(len(errors) + truncated, len(tasks), "recordings could not be classified completely")


def _show_earlier(results: Collection[Prediction], recordings: int, *, as_json: bool) -> None:
    """Print how many recordings are already classified, and their predictions as JSON."""
    if results:
        description = f"{len(results):,} of {recordings:,} recordings are" if recordings > 1 else "the recording is"
        say = messages.print if as_json else notes.print  # with --json, standard output has only results
        say(f"{description} already classified; use --overwrite to classify again")

    if as_json:
        for result in results:
            _print_json(result)


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


def _write_page(inference: Inference, folder: OutputFolder, done: Sequence[Prediction], *, as_json: bool) -> None:
    """Write the report of all recordings in the folder, and print the number of recordings of earlier runs."""
    if (earlier := inference.write_page(folder, done)) > 0:
        say = messages.print if as_json else notes.print
        say(f"{show_name(folder.path)}: the tables also contain {count_noun(earlier, 'recording')} of earlier runs")

    if folder.report.is_file() and not as_json:
        notes.print(f"report: {show_name(folder.report)}")


def print_predictions(predictions: Sequence[Prediction]) -> None:
    """Print a row per recording, whether the network was adapted, and scores.

    Args:
        predictions: Predictions to print.
    """
    from ..results import add_scores, describe_adaptation

    if not predictions:
        return

    # The region is shown only if some recordings are not seen completely.
    regions = [] if all(prediction.has_full_frame for prediction in predictions) else ["region"]
    table = TextTable(
        *("file", "answer", "probability", "segments", "events", *regions),
        right=("probability", "segments", "events"),
        optional=(*regions, "events", "segments"),
    )

    for prediction in predictions:
        because = f" ({readable(prediction.reason)})" if prediction.reason else ""
        region = [prediction.region] if regions else []
        probability = "" if prediction.class_name == OTHER else f"{prediction.probability:.0%}"
        numbers = probability, prediction.segment_count, f"{prediction.events:,}"
        table.add_row(prediction.file, prediction.answer + because, *numbers, *region)
    print_parts(table)

    bases = Counter("events alone" if one.basis == "events" else one.basis for one in predictions)
    names = "; ".join(f"{basis}: {count}" for basis, count in bases.items())
    screen.print(f"Classified by {names if len(bases) > 1 else next(iter(bases))}.")

    if adaptation := describe_adaptation(predictions[0].trained_on):
        screen.print(f"network: {adaptation}")

    if (scores := add_scores(prediction.scores for prediction in predictions)) is not None:
        screen.print("; ".join(scores.describe()))
