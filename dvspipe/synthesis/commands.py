"""Commands `synth`, to create synthetic recordings with labels, and `demo`."""

from __future__ import annotations

import logging
import shlex
from pathlib import Path

from ..base.errors import ConfigError, count_noun
from ..base.gestures import GESTURES
from ..base.pool import Shard
from ..base.progress import Progress, ignore_progress
from ..base.texts import Described, TextTable
from ..inference import Predictions
from ..results import RunFolder
from .config import CameraKind
from .demo import CLASSIFIER, Demo, choose_training, run_demo, show_first
from .digits import DigitsPlan, write_digits
from .gesture_sets import GesturesPlan, write_gestures

MIN_PEOPLE = 3  # one per part of a data set
MAX_MINUTES = 60

log = logging.getLogger(__name__)


def nmnist(
    out: Path,
    *,
    mnist: Path,
    count: int = 10_000,
    test: int = 0,
    seed: int = 0,
    exclude: Path | None = None,
    videos: bool = False,
    share: str | None = None,
    jobs: int | str = 2,
    progress: Progress = ignore_progress,
) -> str:
    """Record MNIST digits with a simulated sensor and the camera motion of N-MNIST; existing files are kept.

    Args:
        out: Output folder for Train/DIGIT/ID.bin.
        mnist: Folder of the MNIST files.
        count: Number of MNIST training images to record, > 0.
        test: Number of MNIST test images to record, into Test/DIGIT.
        seed: Seed of the random generators.
        exclude: N-MNIST folder: skip the MNIST images recorded there; default: none.
        videos: Also write the videos (.webm or .mp4).
        share: Record only share I/N of the images; default: the share of the task in a SLURM array, otherwise all.
        jobs: Number of worker processes, or ray, or ray://HOST:PORT for a Ray cluster.
        progress: Called with the number of files done and the total.
    """
    _require_at_least(1, count=count)
    _require_at_least(0, test=test, seed=seed)
    plan = DigitsPlan(mnist, count, test, seed, exclude, videos)
    written = write_digits(out, plan, jobs=jobs, shard=Shard.of(share), progress=progress)

    train = shlex.join(["dvspipe", "train", "nmnist-synthetic", f"root={out}"])
    log.info("next: %s test_root=NMNIST", train)
    return f"{out}: synthetic recordings of digits: {count + test}, new files: {written}"


def gestures(
    out: Path,
    *,
    people: int = 30,
    clips: int = 3,
    other: int = 3,
    seed: int = 0,
    duration_us: int = 1_500_000,
    camera: CameraKind = "dvs",
    tracks: Path | None = None,
    videos: bool = False,
    share: str | None = None,
    jobs: int | str = 2,
    progress: Progress = ignore_progress,
) -> str:
    """Make recordings of rendered people who perform the gestures of DVS128 Gesture; existing files are kept.

    Args:
        out: Output folder for CLASS/userPERSON_CAMERA_CLIP.h5.
        people: Number of people, > 0.
        clips: Number of clips per person, class and camera, > 0.
        other: Clips of other gestures per clip of another class, > 0.
        seed: Seed of the random generators.
        duration_us: Length of a clip in microseconds, 100,000 to 60,000,000.
        camera: Camera: a simulated DVS128, a webcam or phone with converted videos, or a clip of each.
        tracks: Movements of real people for half of the clips: folder with CLASS/NAME.csv of tracked films.
        videos: Also write the videos (.webm or .mp4).
        share: Make only share I/N of the clips; default: the share of the task in a SLURM array, otherwise all.
        jobs: Number of worker processes, or ray, or ray://HOST:PORT for a Ray cluster.
        progress: Called with the number of clips done and the total.
    """
    _require_at_least(1, people=people, clips=clips, other=other)
    _require_at_least(0, seed=seed)
    if not 100_000 <= duration_us <= 60_000_000:
        raise ConfigError(f"duration_us = {duration_us}: out of range (expected 100000 to 60000000)")

    plan = GesturesPlan(people, clips, seed, duration_us, videos, camera, tracks, other)
    written = write_gestures(out, plan, jobs=jobs, shard=Shard.of(share), progress=progress)
    if people < MIN_PEOPLE:
        log.info("training needs at least %d people", MIN_PEOPLE)
    else:
        log.info("next: dvspipe train gesture root=%s", out)
    return f"{out}: {plan.count} synthetic clips in {len(GESTURES)} classes, people: {people}, new files: {written}"


def _require_at_least(minimum: int, **values: int) -> None:
    for name, value in values.items():
        if value < minimum:
            raise ConfigError(f"{name} = {value}: out of range (expected at least {minimum})")


class DemoResult(Described):
    """Result of `demo`.

    Args:
        folder: Folder with all outputs.
        first: Prediction of the included network.
        trained: Fine-tuned network; None: not trained.
    """

    def __init__(self, folder: Path, first: Predictions, trained: Demo | None = None) -> None:
        self.folder = folder
        self.first = first
        self.trained = trained

    def describe(self) -> list[str | TextTable]:
        """Return the predictions, the tests before and after, and the next commands."""
        parts = [*self.first.describe()]
        if self.trained is not None:
            before = self.trained.before
            parts += [
                f"test accuracy (synthetic) of {CLASSIFIER} before fine-tuning: {before.accuracy:.1%}, "
                f"{before.correct} of {before.samples}; after fine-tuning:",
                *self.trained.run.describe(),
                *Predictions([self.trained.prediction]).describe(),
                "next:",
                *(f"  {command}" for command in self.trained.next_commands),
            ]
        return [*parts, f"all outputs are in {self.folder} (synthetic)"]


def demo(
    *,
    minutes: float = 1.0,
    out: Path | None = None,
    overwrite: bool = False,
    progress: Progress = ignore_progress,
) -> DemoResult:
    """Classify a rendered gesture, then fine-tune a network. All data is synthetic.

    Args:
        minutes: Time for training on a laptop, 0 to 60 minutes; 0: only classify.
        out: Run folder; default: runs/demo.
        overwrite: Replace an earlier run.
        progress: Called with the amount done and the total.
    """
    if not 0 <= minutes <= MAX_MINUTES:
        raise ConfigError(f"minutes = {minutes:g}: out of range (expected 0 to {MAX_MINUTES})")
    if out is not None:
        RunFolder(out).check_unused(overwrite=overwrite)
    folder = out or RunFolder.find_free(Path("runs"), "demo", overwrite=overwrite).path

    log.info("the first prediction takes about 10 s, and twice as long if kernels are compiled first")
    look = show_first(folder, announce=log.info)
    first = Predictions([look.prediction])
    if not minutes:
        return DemoResult(folder, first)

    config = choose_training(60 * minutes)
    people = f"{count_noun(config.train_people, 'person')} for training, {config.test_people} others for testing"
    log.info("plan: %s, %d epochs, starting from %s", people, config.epochs, CLASSIFIER)
    return DemoResult(folder, first, run_demo(folder, config, progress, log.info))
