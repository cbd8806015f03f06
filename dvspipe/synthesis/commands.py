"""Commands `synth`, to create synthetic recordings with labels, and `demo`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from ..cli.activity import ShownStage
from ..cli.infer import print_predictions
from ..cli.options import JobCount, Overwrite, Seed, ShardName, parse_shard
from ..cli.screen import notes, print_parts, progress, screen
from ..cli.training import TrainingScreen
from ..results import RunFolder
from .config import CameraKind

synth = App(name="synth", help_epilogue="", version_flags=[])

MIN_PEOPLE = 3  # one per part of a data set

Videos = Annotated[bool, Parameter(help="Also write the videos (.webm or .mp4).")]


@synth.command
def nmnist(
    *,
    out: Annotated[Path, Parameter(alias="-o", help="Output folder for Train/DIGIT/ID.bin.")],
    mnist: Annotated[Path, Parameter(help="Folder of the MNIST files.")],
    count: Annotated[
        int, Parameter(validator=Number(gte=1), help="Number of MNIST training images to record.")
    ] = 10_000,
    test: Annotated[
        int, Parameter(validator=Number(gte=0), help="Number of MNIST test images to record, into Test/DIGIT.")
    ] = 0,
    seed: Seed = 0,
    exclude: Annotated[
        Path | None, Parameter(help="N-MNIST folder: skip the MNIST images recorded there; default: none.")
    ] = None,
    videos: Videos = False,
    jobs: JobCount = 2,
    shard: ShardName = None,
) -> None:
    """Record MNIST digits with a simulated sensor and the camera motion of N-MNIST; existing files are kept."""
    from . import DigitsPlan, write_digits

    share = parse_shard(shard)
    plan = DigitsPlan(mnist, count, test, seed, exclude, videos)

    with progress() as show:
        written = write_digits(out, plan, jobs=jobs, shard=share, progress=ShownStage(show, "synthetic files"))

    screen.print(f"{out}: synthetic recordings of digits: {count + test}, new files: {written}")
    notes.print(
        f"next:\n  {shlex.join(['dvspipe', 'train', 'nmnist-synthetic', f'data.root={out}'])} data.test_root=NMNIST"
    )


@synth.command
def gestures(
    *,
    out: Annotated[Path, Parameter(alias="-o", help="Output folder for CLASS/userPERSON_CAMERA_CLIP.h5.")],
    people: Annotated[int, Parameter(validator=Number(gte=1), help="Number of people.")] = 30,
    clips: Annotated[int, Parameter(validator=Number(gte=1), help="Number of clips per person, class and camera.")] = 3,
    other: Annotated[
        int, Parameter(validator=Number(gte=1), help="Clips of other gestures per clip of another class.")
    ] = 3,
    seed: Seed = 0,
    duration_us: Annotated[
        int,
        Parameter(validator=Number(gte=100_000, lte=60_000_000), help="Length of a clip in microseconds."),
    ] = 1_500_000,
    camera: Annotated[
        CameraKind,
        Parameter(help="Camera: a simulated DVS128, a webcam or phone with converted videos, or a clip of each."),
    ] = "dvs",
    tracks: Annotated[
        Path | None,
        Parameter(
            help="Movements of real people for half of the clips: folder with CLASS/NAME.csv from dvspipe track."
        ),
    ] = None,
    videos: Videos = False,
    jobs: JobCount = 2,
    shard: ShardName = None,
) -> None:
    """Make recordings of rendered people who perform the gestures of DVS128 Gesture; existing files are kept."""
    from ..base.gestures import GESTURES
    from . import GesturesPlan, write_gestures

    share = parse_shard(shard)
    plan = GesturesPlan(people, clips, seed, duration_us, videos, camera, tracks, other)

    with progress() as show:
        written = write_gestures(out, plan, jobs=jobs, shard=share, progress=ShownStage(show, "synthetic clips"))

    screen.print(
        f"{out}: {plan.count} synthetic clips in {len(GESTURES)} classes, people: {people}, new files: {written}"
    )

    if people >= MIN_PEOPLE:
        notes.print(f"next:\n  dvspipe train gesture data.root={out}")
    else:
        notes.print(f"training needs at least {MIN_PEOPLE} people")


def demo(
    *,
    minutes: Annotated[
        float,
        Parameter(validator=Number(gte=0, lte=60), help="Time budget of training, 0 to 60 minutes; 0: only classify."),
    ] = 1.0,
    out: Annotated[Path | None, Parameter(alias="-o", help="Run folder; default: runs/demo.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Classify a rendered gesture, then fine-tune a network in a given time. All data is synthetic."""
    notes.print("the first prediction takes about 10 s, and twice as long if kernels are compiled first")
    from ..datasets import GesturesConfig
    from .demo import CLASSIFIER, choose_training, measure_speed, run_demo, show_first

    if out is not None:
        RunFolder(out).check_unused(overwrite=overwrite)
    folder = out or RunFolder.find_free(Path("runs"), "demo", overwrite=overwrite).path

    look = show_first(folder, announce=notes.print)
    print_predictions([look.prediction])
    notes.print(f"report: {look.page} (synthetic)")

    if not minutes:
        return

    notes.print("measuring the speed of rendering and training")
    speed = measure_speed()
    config = choose_training(speed, 60 * minutes)
    data = config.data
    assert isinstance(data, GesturesConfig)

    notes.print(
        f"\nplan for {minutes:g} min (rendering a clip takes {speed.clip_s:.2f} s, training on it "
        f"{1000 * speed.step_s:.0f} ms): {data.train_people} people for training, {data.test_people} other people for "
        f"testing, {config.optimiser.epochs} epochs; fine-tuning starts from the included network {CLASSIFIER}, "
        "trained on other people"
    )

    with progress() as show:
        result = run_demo(folder, config, TrainingScreen(show), notes.print)

    before = result.before
    screen.print(
        f"test accuracy (synthetic) of {CLASSIFIER} before fine-tuning: {before.accuracy:.1%}, {before.correct} of "
        f"{before.samples}; after fine-tuning:"
    )

    print_parts(*result.run.describe())
    print_predictions([result.prediction])
    notes.print(f"\nall outputs are in {folder} (synthetic); start with {result.run.folder.report}; next:")
    for command in result.next_commands:
        notes.print(f"  {command}")
