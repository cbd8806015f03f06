"""Verbs that classify recordings, and adapt classifiers to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Unpack, overload

from ..base.config import as_settings, build
from ..base.errors import ConfigError, FileError
from ..base.files import check_output, explain_missing
from ..base.pool import Outcome
from ..base.progress import Progress
from ..checkpoints.checkpoint import shipped_checkpoints
from ..events import Events, SensorSizeLike
from ..formats import NO_HINTS, HintsLike, RecordingLike
from ..hooks import plugins
from ..inference import InferConfig
from ..inference.config import InferKeywords
from ..results import CHECKPOINT_SUFFIX, InferenceRun, OutputFolder, Prediction
from ..video.names import camera_of, check_address

if TYPE_CHECKING:
    from ..inference import Adaptation, Classifier, ClassifyOptions, Task


class InferOptions(InferKeywords, total=False):
    """Arguments of `infer` that are given by name."""

    adapt: bool
    labels: str | Path | None
    pictures: bool
    trust: str | Sequence[str]
    jobs: int | str
    overwrite: bool
    sensor: SensorSizeLike | None
    hints: HintsLike
    progress: Progress | None


@overload
def infer(  # type: ignore[overload-overlap]  # a text is also a sequence of texts
    checkpoint: Classifier | str | Path,
    recordings: RecordingLike,
    out: str | Path | None = None,
    config: InferConfig | Mapping[str, object] | None = None,
    **named: Unpack[InferOptions],
) -> Prediction: ...
@overload
def infer(
    checkpoint: Classifier | str | Path,
    recordings: Sequence[str | Path],
    out: str | Path | None = None,
    config: InferConfig | Mapping[str, object] | None = None,
    **named: Unpack[InferOptions],
) -> tuple[Prediction, ...]: ...
def infer(
    checkpoint: Classifier | str | Path,
    recordings: RecordingLike | Sequence[str | Path],
    out: str | Path | None = None,
    config: InferConfig | Mapping[str, object] | None = None,
    *,
    adapt: bool = False,
    labels: str | Path | None = None,
    pictures: bool = True,
    trust: str | Sequence[str] = (),
    jobs: int | str = 1,
    overwrite: bool = False,
    sensor: SensorSizeLike | None = None,
    hints: HintsLike = NO_HINTS,
    progress: Progress | None = None,
    **named: Unpack[InferKeywords],
) -> Prediction | tuple[Prediction, ...]:
    """Classify recordings or videos over time.

    To classify recordings in a loop, load the classifier first, and call `Classifier.predict`.

    Args:
        checkpoint: Run folder, checkpoint file, name of an included classifier, or hf://USER/NAME. In Python also a
            `Classifier`.
        recordings: Recordings, videos, or folders of these. In Python also a single recording or events.
        out: Output folder for tables, pictures and report.html. None: not written.
        config: Settings of windows, segments and framing; also a mapping.
        adapt: First adapt the network to the sensor of all recordings.
        labels: Label file, or folder of NAME_labels.csv files, to compute scores. None: no scores.
        pictures: Write timelines and videos of the recordings to the output folder.
        trust: Packages allowed to run code for networks with `network.kind = module`.
        jobs: Number of worker processes, or the address of a Ray cluster: ray, or ray://HOST:PORT.
        overwrite: Classify all recordings again, and replace the predictions in the output folder.
        sensor: Sensor size, for files that do not store it.
        hints: Other metadata that the files do not store.
        progress: Called with the amount done and the total: of the time of a single recording, or of recordings.
        named: Settings of `InferConfig` by name.

    Returns:
        The prediction for a single recording; for a list, a prediction for each recording. Predictions found in the
        output folder have no timeline.

    Raises:
        DvspipeError: As in `Classifier.load`, `Classifier.predict` and `classify_many`; the first error of a recording,
            after all others are classified. A missing file is an error before the first is.

    Example:
        >>> infer("gesture", "clap.h5", roi="auto").class_name  # doctest: +SKIP
        'hand_clapping'
        >>> [done.class_name for done in infer("gesture", ["videos"], "answers", jobs=2)]  # doctest: +SKIP
        ['hand_clapping', 'right_hand_wave']
    """
    from ..inference import ClassifyOptions, as_classifier, plan_tasks
    from ..recordings.conversion import is_single_source  # loads OpenCV

    chosen = as_settings(InferConfig, config, named, infer)
    classifier = as_classifier(checkpoint, trust=trust)

    # A single recording that is not stored can be in memory.
    needs_files = out is not None or labels is not None or adapt
    if isinstance(recordings, str | Path) and not is_single_source(Path(recordings)):
        raise ConfigError(f"{recordings}: a folder of recordings (expected one recording, or a list: [folder])")
    if not needs_files and (isinstance(recordings, str) or not isinstance(recordings, Sequence)):
        return classifier.predict(recordings, chosen, sensor=sensor, hints=hints, progress=progress)
    if isinstance(recordings, Events):
        raise ConfigError("infer: out, labels and adapt are for files (found events); save the events first")

    tasks = plan_tasks(recordings, out)
    check_files(tasks)
    given = {"config": chosen, "sensor": sensor, "hints": hints, "adapt": adapt, "labels": labels, "out": out}
    options = build(ClassifyOptions, given | {"pictures": pictures}, "infer")
    inference = Inference(classifier, tasks, options, overwrite)
    predictions = inference.classify_all(jobs, progress)
    return predictions if isinstance(recordings, Sequence) and not isinstance(recordings, str) else predictions[0]


def check_files(tasks: Sequence[Task]) -> None:
    """Refuse a missing file before the network is loaded: with many recordings, its turn may come after hours."""
    for task in tasks:
        source = task.source
        check_address(source)
        if source.exists() or camera_of(source) is not None:
            continue

        if str(source) in shipped_checkpoints():
            raise FileError(f"{source}: is a checkpoint (expected a recording); the arguments look swapped")
        raise FileError(f"{source}: {explain_missing(source)}")


@dataclass(frozen=True)
class Inference:
    """Classification of files; recordings with a current prediction in the output folder are skipped.

    Args:
        classifier: Classifier.
        tasks: Recordings, from `plan_tasks`.
        options: Settings of classification and storage.
        overwrite: Whether to classify all recordings again.
    """

    classifier: Classifier
    tasks: Sequence[Task]
    options: ClassifyOptions
    overwrite: bool = False

    @cached_property
    def run(self) -> InferenceRun:
        """Record of this classification."""
        return self.options.record_run(self.classifier, self.tasks)

    @cached_property
    def finished(self) -> Mapping[Task, Prediction]:
        """Current predictions of earlier runs."""
        from ..inference import find_finished

        return {} if self.overwrite else find_finished(self.tasks, self.run, self.options)

    def classify(self, jobs: int | str, progress: Progress | None) -> Iterator[Outcome[Task, Prediction]]:
        """Classify the other recordings, and yield the outcome of each as it finishes."""
        from ..inference import classify_many

        return classify_many(
            self.tasks,
            self.classifier,
            self.options,
            jobs=jobs,
            overwrite=self.overwrite,
            finished=frozenset(self.finished),
            progress=progress,
        )

    def classify_all(self, jobs: int | str, progress: Progress | None) -> tuple[Prediction, ...]:
        """Return the predictions for all recordings, and write the report; raise the first error at the end."""
        done = dict(self.finished)
        errors = []
        for outcome in self.classify(jobs, progress):
            if outcome.error is None:
                done[outcome.item] = outcome.result()
            else:
                errors.append(outcome.error)

        predictions = tuple(done[task] for task in self.tasks if task in done)
        if self.options.out is not None and predictions:
            self.write_page(OutputFolder(self.options.out), predictions)
        if errors:
            raise errors[0]
        return predictions

    def write_page(self, folder: OutputFolder, predictions: Sequence[Prediction]) -> int:
        """Write the report of all recordings in the output folder; return how many are of earlier runs."""
        plugins().hook.report(record=self.run, folder=folder.path)
        return len(folder.find_predictions(self.run)) - len(predictions)


def adapt(
    checkpoint: Classifier | str | Path,
    recordings: RecordingLike | Sequence[RecordingLike],
    out: str | Path | None = None,
    config: InferConfig | Mapping[str, object] | None = None,
    *,
    strength: float = 0.5,
    overwrite: bool = False,
    sensor: SensorSizeLike | None = None,
    hints: HintsLike = NO_HINTS,
    progress: Progress | None = None,
    **named: Unpack[InferKeywords],
) -> Adaptation:
    """Adapt a trained network to the sensor of unlabelled recordings, in bounded memory.

    The statistics of its batch norms move towards the statistics of the recordings; weights do not change.

    Args:
        checkpoint: Run folder, checkpoint file, name of an included classifier, or hf://USER/NAME. In Python also a
            `Classifier`, which is not changed.
        recordings: Recordings, videos, or folders of these; each is read once, and skipped if it cannot be used. In
            Python also events.
        out: Checkpoint file to write (.safetensors). In Python also None: not written.
        config: Settings of windows and framing, as in the later classification; `stateful` has no effect.
        strength: Share of the difference that is applied, 0 to 1. At 1, the statistics are the recordings' own. The
            strength is reduced if few classes are predicted, to 0 for a single class.
        overwrite: Replace an existing file.
        sensor: Sensor size, for files that do not store it.
        hints: Other metadata that the files do not store.
        progress: Callback with the finished and total number of recordings.
        named: Settings of `InferConfig` by name.

    Raises:
        ConfigError: If `strength` is not in [0, 1], or the configuration does not fit the network.
        CheckpointError: If the network has no batch norm.
        DataError: If fewer than 4 windows are not quiet.
        FileError: If the suffix is wrong, or the output exists or cannot be written.
        DvspipeError: If no recording can be used; the error of the first recording.

    Example:
        >>> adaptation = adapt("gesture", ["a.aedat4", "b.aedat4"], "mine.safetensors")  # doctest: +SKIP
        >>> adaptation.classifier.predict("c.aedat4").class_name  # doctest: +SKIP
        'hand_clapping'
    """
    from ..inference import adapt_classifier, as_classifier, refuse_module

    file = check_output(out, "a checkpoint", CHECKPOINT_SUFFIX, overwrite=overwrite)
    chosen = as_settings(InferConfig, config, named, adapt)
    sources = _list_sources(recordings)

    # A custom module is refused before its code is loaded.
    if isinstance(checkpoint, str | Path):
        refuse_module(checkpoint)
    adaptation = adapt_classifier(
        as_classifier(checkpoint), sources, chosen, strength=strength, sensor=sensor, hints=hints, progress=progress
    )

    if file is not None:
        adaptation.save(file)
    return adaptation


def _list_sources(recordings: RecordingLike | Sequence[RecordingLike]) -> list[RecordingLike]:
    """Return recordings in memory, and then files, with the files of folders."""
    from ..inference import plan_tasks

    given = [recordings] if isinstance(recordings, str | Path | Events) else recordings
    in_memory = [recording for recording in given if isinstance(recording, Events)]
    paths = [recording for recording in given if not isinstance(recording, Events)]
    return [*in_memory, *(task.source for task in plan_tasks(paths))]
