"""Measure the actions of `dvspipe live`: false alarms per hour without gestures, missed gestures, and delay.

python scripts/studies/alarms.py films FILMS OUT             events as live sees them, OUT/streams/*.h5
python scripts/studies/alarms.py people CLIPS OUT            the same of rendered people
python scripts/studies/alarms.py predict OUT CHECKPOINT ...  the predictions of live by events, OUT/predictions
python scripts/studies/alarms.py joints FILMS OUT CHECKPOINT ...  films by joints, too, OUT/predictions/<name>-joints
python scripts/studies/alarms.py report OUT CHECKPOINT ...   tables, and the curve OUT/alarms.png
python scripts/studies/alarms.py replay OUT CHECKPOINT ...   ten recordings with 20 gestures and rests

FILMS contains films of people, FILMS/<class>/<owner>-<file>. CLIPS is a folder of `dvspipe synth gestures`, best with
another seed than the training, so nobody in it was seen. Folders that are not a class of DVS128 Gesture show other
activities.

Each film is seen up to six times, with other crops, speeds and noise. The clips of a person are joined, each repeated
three times (4.5 s), with rests that contain only noise. Everything runs through `LiveSession` with a clock that never
waits. `films`, `people`, `predict` and `joints` may be stopped, and continue with what is missing.

Half of the owners and people (fit) choose the hold time and the probability; the other half is reported.
"""

from __future__ import annotations

import argparse
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from threading import Event
from typing import NamedTuple

import cv2
import numpy as np
from matplotlib.figure import Figure
from scipy.stats import chi2

from dvspipe.base.errors import DvspipeError
from dvspipe.base.labels import GESTURES, OTHER
from dvspipe.events import Events, SensorSize, concatenate
from dvspipe.formats import WriteOptions, Writer, create_writer, open_recording, read, write
from dvspipe.inference import Classifier, InferConfig
from dvspipe.inference.segments import SegmentConfig
from dvspipe.results import wilson_interval
from dvspipe.results.tables import Record
from dvspipe.streaming import Action, ActionConfig, LiveSession, LiveSource, PushedSource, find_actions, with_hop
from dvspipe.streaming.answers import LiveAnswer
from dvspipe.streaming.sources import RecordingSource
from dvspipe.video.opening import open_video

LONGER_PX = 320  # longer side of the films
CLIP_REPEATS = 3
REST_US = 2_500_000
NOISE_HZ = 0.1  # per pixel during rests: a DVS128 at rest
LATE_S = 1.5  # an action this long after its gesture still belongs to it: the window of the network is 1.44 s
FRAMED_FOR = "gesture-clean"  # all networks have its sensor and its framing
UNBOUNDED = 1 << 40  # chunks: nothing is dropped
REPLAYED = 10  # recordings, with two gestures each

PROBABILITIES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
HOLDS_S = (0.3, 0.5, 1.0)
DEFAULT = (0.5, 0.5)  # probability and hold time of `dvspipe live`
TARGETS = (60.0, 10.0)  # alarms per hour
SHARES = (0.8, 0.5)  # found gestures
MIN_SHOWN = 0.5  # alarms per hour on the logarithmic axis of the chart


class Variant(NamedTuple):
    """Crop, speed and noise with which a film is seen again."""

    crop: tuple[float, float, float, float] = (0, 0, 1, 1)
    """Left, top, right and lower side, relative to the picture."""
    speed: float = 1.0
    is_mirrored: bool = False
    noise: float = 0.0
    """Standard deviation of the noise of each picture, in grey levels."""


VARIANTS = (
    Variant(),
    Variant(is_mirrored=True, speed=0.8),
    Variant(crop=(0.1, 0, 0.9, 0.8)),
    Variant(crop=(0.15, 0.1, 0.95, 0.9), is_mirrored=True, speed=1.25),
    Variant(noise=6),
    Variant(crop=(0.05, 0.05, 0.85, 0.85), noise=4, speed=1.1),
)
PLAIN = VARIANTS[:2]  # for films of gestures; a mirrored wave is one of the left hand


class Span(Record):
    """Gesture in a stream."""

    class_name: str
    start_us: int
    stop_us: int


class Stream(Record):
    """Stream of events on the network's sensor."""

    name: str
    source: str
    """Owner of the film, or rendered person."""
    is_film: bool
    duration_s: float
    spans: tuple[Span, ...]
    """Gestures; without any, each action is a false alarm."""

    @property
    def is_fit(self) -> bool:
        """Whether the stream belongs to the half that chooses the operating point."""
        return zlib.crc32(self.source.encode()) % 2 == 0


class InstantClock:
    """Clock that never waits."""

    def now_s(self) -> float:
        return 0.0

    def wait_until(self, time_s: float, stop: Event) -> None:
        """Return at once."""


# Streams


def mirror(name: str) -> str:
    """Return the class of a mirrored film; circles turn the other way."""
    pairs = {"right": "left", "left": "right", "clockwise": "counter_clockwise", "counter_clockwise": "clockwise"}
    if name.endswith("clockwise"):
        side, _, turn = name.partition("_arm_")
        return f"{pairs[side]}_arm_{pairs[turn]}"

    side, _, rest = name.partition("_")
    return f"{pairs[side]}_{rest}" if side in pairs else name


def push_film(path: Path, variant: Variant) -> PushedSource:
    """Return a source with all pictures of a film."""
    size = open_video(path).size
    scale = min(1.0, LONGER_PX / max(size.width, size.height))
    resized = SensorSize(width=round(size.width * scale), height=round(size.height * scale))
    left, top, right, bottom = variant.crop
    columns = slice(round(left * resized.width), round(right * resized.width))
    rows = slice(round(top * resized.height), round(bottom * resized.height))

    rng = np.random.default_rng(0)
    cropped = SensorSize(width=columns.stop - columns.start, height=rows.stop - rows.start)
    source = PushedSource(path.name, cropped)
    for t_us, rgb in open_video(path).pictures():
        picture = cv2.resize(rgb, (resized.width, resized.height), interpolation=cv2.INTER_AREA)[rows, columns]
        if variant.is_mirrored:
            picture = picture[:, ::-1]
        if variant.noise:
            noisy = picture + variant.noise * rng.standard_normal(picture.shape[:2])[..., None]
            picture = np.clip(noisy, 0, 255).astype(np.uint8)
        source.push(round(t_us / variant.speed), picture[..., ::-1])

    source.end()
    return source


def record_films(folder: Path, out: Path, variants: Sequence[int]) -> None:
    """Record what live sees of each film, and the predictions of the network that it is framed for."""
    classifier = Classifier.load(FRAMED_FOR)
    done = {stream.name for stream in read_streams(out)}
    for number in variants:
        variant = VARIANTS[number]
        for path in sorted(folder.glob("*/*")):
            label = path.parent.name
            name = f"{path.stem}_{number}"
            if name in done or (label in GESTURES and variant not in PLAIN):
                continue

            writer = create_writer(
                out / "streams" / f"{name}.h5", classifier.config.sensor, WriteOptions(overwrite=True)
            )
            try:
                stop_us = run_live(push_film(path, variant), classifier, prediction_file(out, FRAMED_FOR, name), writer)
            except DvspipeError as error:
                print(f"{name}: {error}", flush=True)
                continue

            class_name = mirror(label) if variant.is_mirrored else label
            spans = (Span(class_name=class_name, start_us=0, stop_us=stop_us),) if label in GESTURES else ()
            owner = path.name.split("-")[0]
            append(out, Stream(name=name, source=owner, is_film=True, duration_s=stop_us / 1e6, spans=spans))


def run_live(
    source: LiveSource, classifier: Classifier, path: Path, writer: Writer | None = None, *, joints: bool = False
) -> int:
    """Write the predictions for a source, and return the time of the last one.

    They are certain if the input is familiar, with any probability.
    """
    config = with_hop(InferConfig(joints=joints, segments=SegmentConfig(enter=0, leave=0)), classifier)
    session = LiveSession(source, classifier, config, writer=writer, clock=InstantClock(), capacity=UNBOUNDED)
    answers = list(session)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(answer.model_dump_json() + "\n" for answer in answers))
    return answers[-1].t_us if answers else 0


def join_people(folder: Path, out: Path, people: int, others: int) -> None:
    """Join the clips of each person: other gestures without rests, and gestures with rests between them."""
    clips = defaultdict[str, list[Path]](list)
    for path in sorted(folder.glob("*/*.h5")):
        clips[path.name.split("_")[0]].append(path)

    for number, person in enumerate(sorted(clips)[:others]):
        append(out, join_clips(f"{person}_other", [p for p in clips[person] if p.parent.name == OTHER], 0, out))
        if number >= people:
            continue

        # A clip of each class, in an order of its own for each person.
        rng = np.random.default_rng([0, number])
        by_class = {path.parent.name: path for path in clips[person]}
        names = [name for name in rng.permutation(GESTURES).tolist() if name in by_class and name != OTHER]
        append(out, join_clips(f"{person}_gestures", [by_class[name] for name in names], REST_US, out))


def join_clips(name: str, paths: Sequence[Path], rest_us: int, out: Path) -> Stream:
    """Write a stream of clips, each repeated, with noise in the rests before, between and after them."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    now_us = 0
    parts: list[Events] = []
    spans = []
    for path in paths:
        events = read(path)
        if rest_us:
            parts.append(draw_noise(events.sensor, now_us, rest_us, rng))
            now_us += rest_us

        start_us = now_us
        for _ in range(CLIP_REPEATS):
            parts.append(events.shift_time(now_us - int(events.t[0])))
            now_us = int(parts[-1].t[-1]) + 1
        if path.parent.name != OTHER:
            spans.append(Span(class_name=path.parent.name, start_us=start_us, stop_us=now_us))

    if rest_us:
        parts.append(draw_noise(parts[0].sensor, now_us, rest_us, rng))
        now_us += rest_us
    write(out / "streams" / f"{name}.h5", concatenate(parts, parts[0].sensor), overwrite=True)
    person = name.split("_")[0]
    return Stream(name=name, source=person, is_film=False, duration_s=now_us / 1e6, spans=tuple(spans))


def draw_noise(sensor: SensorSize, start_us: int, length_us: int, rng: np.random.Generator) -> Events:
    """Draw uniform noise."""
    count = rng.poisson(NOISE_HZ * sensor.width * sensor.height * length_us * 1e-6)
    t = start_us + np.sort(rng.integers(0, length_us, count))
    x, y = rng.integers(0, sensor.width, count), rng.integers(0, sensor.height, count)
    return Events(t, x, y, rng.integers(0, 2, count) == 1, sensor)


def read_streams(out: Path) -> list[Stream]:
    path = out / "streams.jsonl"
    return [Stream.model_validate_json(line) for line in path.read_text().splitlines()] if path.exists() else []


def append(out: Path, stream: Stream) -> None:
    with (out / "streams.jsonl").open("a") as file:
        file.write(stream.model_dump_json() + "\n")


# Predictions


def prediction_file(out: Path, checkpoint: str, name: str) -> Path:
    return out / "predictions" / Path(checkpoint).name / f"{name}.jsonl"


def predict(out: Path, checkpoint: str) -> None:
    """Write the predictions for each stream that lacks them."""
    classifier = Classifier.load(checkpoint)
    for stream in read_streams(out):
        path = prediction_file(out, checkpoint, stream.name)
        if not path.exists():
            recording = open_recording(out / "streams" / f"{stream.name}.h5")
            run_live(RecordingSource(stream.name, recording), classifier, path)


def predict_joints(films: Path, out: Path, checkpoint: str) -> None:
    """Write the predictions by joints and events for each film that lacks them."""
    classifier = Classifier.load(checkpoint)
    paths = {path.stem: path for path in films.glob("*/*")}
    for stream in read_streams(out):
        path = prediction_file(out, f"{checkpoint}-joints", stream.name)
        if stream.is_film and not path.exists():
            stem, _, number = stream.name.rpartition("_")
            run_live(push_film(paths[stem], VARIANTS[int(number)]), classifier, path, joints=True)


def read_predictions(out: Path, checkpoint: str, stream: Stream) -> list[LiveAnswer]:
    lines = prediction_file(out, checkpoint, stream.name).read_text().splitlines()
    return [LiveAnswer.model_validate_json(line) for line in lines]


def act(answers: Iterable[LiveAnswer], probability: float, hold_s: float) -> list[Action]:
    """Return the actions at an operating point."""
    marked = (
        answer.model_copy(update={"certain": answer.certain and answer.probability >= probability})
        for answer in answers
    )
    return list(find_actions(marked, ActionConfig(hold_s=hold_s)))


# Scores


Point = tuple[float, float]
"""Operating point: probability and hold time in seconds."""


@dataclass
class Score:
    """Actions of streams at an operating point."""

    hours: float = 0.0
    """Time without gestures."""
    alarms: Counter[str] = field(default_factory=Counter)
    """Actions in that time by class."""
    sources: set[str] = field(default_factory=set)
    """Owners or people with such alarms."""
    found: Counter[str] = field(default_factory=Counter)
    """Gestures of each class with an action of their class."""
    gestures: Counter[str] = field(default_factory=Counter)
    doubled: int = 0
    """Further actions of the class during a gesture."""
    wrong: int = 0
    """Actions of another class during or after a gesture."""
    delays_s: list[float] = field(default_factory=list)
    """From the start of a gesture to its action."""

    @property
    def found_share(self) -> float:
        return self.found.total() / max(1, self.gestures.total())

    @property
    def alarms_per_hour(self) -> float:
        return self.alarms.total() / self.hours if self.hours else 0.0


def score(stream: Stream, actions: Sequence[Action]) -> Score:
    """Compare the actions of a stream with its gestures."""
    if not stream.spans:
        alarms = Counter(action.class_name for action in actions)
        return Score(stream.duration_s / 3600, alarms, {stream.source} if actions else set())

    result = Score()
    right = 0
    for span in stream.spans:
        start_s = span.start_us / 1e6
        stop_s = span.stop_us / 1e6 + LATE_S
        times = [one.t_s for one in actions if one.class_name == span.class_name and start_s <= one.t_s < stop_s]
        result.gestures[span.class_name] += 1
        if times:
            result.found[span.class_name] += 1
            result.doubled += len(times) - 1
            result.delays_s.append(times[0] - start_s)
        right += len(times)

    result.wrong = len(actions) - right
    return result


def add_up(scores: Iterable[Score]) -> Score:
    """Add the scores of streams."""
    total = Score()
    for one in scores:
        total.hours += one.hours
        total.alarms += one.alarms
        total.sources |= one.sources
        total.found += one.found
        total.gestures += one.gestures
        total.doubled += one.doubled
        total.wrong += one.wrong
        total.delays_s += one.delays_s
    return total


def poisson_interval(count: int, hours: float) -> tuple[float, float]:
    """Return the exact 95 % interval of a rate per hour (Garwood 1936)."""
    low = chi2.ppf(0.025, 2 * count) / 2 if count else 0.0
    return low / hours, chi2.ppf(0.975, 2 * count + 2) / 2 / hours


def describe(result: Score) -> str:
    """Return the cells of a table."""
    alarms = result.alarms.total()
    low, high = poisson_interval(alarms, result.hours)
    total = result.gestures.total()
    share_low, share_high = wilson_interval(result.found.total(), total)
    rate = f"{result.alarms_per_hour:.0f} ({low:.0f} to {high:.0f}; {alarms} of {len(result.sources)} sources)"
    return f"{rate} | {result.found_share:.0%} ({share_low:.0%} to {share_high:.0%}; {total})"


def report(out: Path, checkpoints: Sequence[str]) -> None:
    """Print tables, and draw missed gestures over alarms per hour."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for checkpoint in checkpoints:
        scores: dict[Point, list[tuple[Stream, Score]]] = defaultdict(list)
        for stream in read_streams(out):
            if not prediction_file(out, checkpoint, stream.name).exists():
                continue
            answers = read_predictions(out, checkpoint, stream)
            for point in product(PROBABILITIES, HOLDS_S):
                scores[point].append((stream, score(stream, act(answers, *point))))

        for axis, kind in zip(axes, ("films", "synthetic people"), strict=True):
            of_kind = {
                point: [pair for pair in pairs if pair[0].is_film == (kind == "films")]
                for point, pairs in scores.items()
            }
            print_tables(f"{checkpoint}, {kind}", of_kind)
            for hold_s in HOLDS_S:
                points = [add_up(one for _, one in of_kind[p, hold_s]) for p in PROBABILITIES]
                missed = [100 * (1 - point.found_share) for point in points]
                rates = [max(MIN_SHOWN, point.alarms_per_hour) for point in points]
                axis.plot(rates, missed, "o-", markersize=3, label=f"{checkpoint}, hold {hold_s:g} s")
            axis.set(title=kind, xscale="log", xlabel="false alarms per hour without gestures")

    axes[0].set(ylabel="missed gestures in %", ylim=(0, 100))
    axes[0].legend(fontsize=7)
    figure.savefig(out / "alarms.png", dpi=130)


def print_tables(title: str, scores: dict[Point, list[tuple[Stream, Score]]]) -> None:
    """Print alarms and gestures at the default point and at those fitted on one half, and the classes."""
    fit = {point: add_up(one for stream, one in pairs if stream.is_fit) for point, pairs in scores.items()}
    tested = {point: add_up(one for stream, one in pairs if not stream.is_fit) for point, pairs in scores.items()}
    default = add_up(one for _, one in scores[DEFAULT])
    if not fit[DEFAULT].hours or not tested[DEFAULT].hours:
        print(f"\n{title}: too few streams")
        return

    print(f"\n{title}: {60 * default.hours:.1f} minutes without gestures\n")
    print("| operating point | alarms per hour (95 %) | gestures found (95 %; number) |\n|---|---|---|")
    print(f"| default {DEFAULT}, all | {describe(default)} |")
    print(f"| default, tested half | {describe(tested[DEFAULT])} |")
    for target in TARGETS:
        point = choose(fit, target)
        print(f"| at most {target:g} per hour in the fitted half: {point}; tested | {describe(tested[point])} |")
    for share in SHARES:
        reached = [point for point, one in fit.items() if one.found_share >= share]
        if reached:
            point = min(reached, key=lambda point: fit[point].alarms_per_hour)
            print(f"| {share:.0%} found in the fitted half: {point}; tested | {describe(tested[point])} |")

    print(
        "\n| probability, hold; all streams | alarms per hour (95 %) | gestures found (95 %; number) |\n|---|---|---|"
    )
    for point in product(PROBABILITIES, HOLDS_S[1:]):
        print(f"| {point} | {describe(add_up(one for _, one in scores[point]))} |")

    print("\n| class | found, default | false alarms, default |\n|---|---|---|")
    for name in sorted({*default.gestures, *default.alarms}):
        print(f"| {name} | {default.found[name]} of {default.gestures[name]} | {default.alarms[name]} |")
    print(f"\ndoubled {default.doubled}, of a wrong class {default.wrong}")


def choose(scores: dict[Point, Score], target: float) -> Point:
    """Return the point with the most gestures found, of those with at most the target; else the fewest alarms."""
    allowed = {point: result for point, result in scores.items() if result.alarms_per_hour <= target}
    if not allowed:
        return min(scores, key=lambda point: (scores[point].alarms_per_hour, -scores[point].found_share))
    return max(allowed, key=lambda point: (allowed[point].found_share, -allowed[point].alarms_per_hour))


def replay(out: Path, checkpoint: str) -> None:
    """Print the actions for ten recordings, each the first two gestures of a person."""
    scores = []
    for stream in [stream for stream in read_streams(out) if not stream.is_film and stream.spans][:REPLAYED]:
        spans = stream.spans[:2]
        stop_us = spans[-1].stop_us + REST_US
        answers = [answer for answer in read_predictions(out, checkpoint, stream) if answer.t_us < stop_us]
        scores.append(score(stream.model_copy(update={"spans": spans}), act(answers, *DEFAULT)))

    result = add_up(scores)
    total = result.gestures.total()
    found = result.found.total()
    print(f"{checkpoint}: {len(scores)} recordings, {total} gestures: {found} acted, {total - found} missed, ", end="")
    print(f"{result.doubled} doubled, {result.wrong} of a wrong class")
    if result.delays_s:
        p50, p99 = np.percentile(result.delays_s, [50, 99])
        print(f"delay from the start of the gesture: p50 {p50:.2f} s, p99 {p99:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    for name in ("films", "people"):
        step = steps.add_parser(name)
        step.add_argument("folder", type=Path)
        step.add_argument("out", type=Path)
        step.add_argument("--variants", type=int, nargs="+", default=range(len(VARIANTS)), help="of films")
        step.add_argument("--people", type=int, default=12, help="rendered people with gestures")
        step.add_argument("--others", type=int, default=36, help="rendered people with other activities")
    for name in ("predict", "joints", "report", "replay"):
        step = steps.add_parser(name)
        if name == "joints":
            step.add_argument("folder", type=Path)
        step.add_argument("out", type=Path)
        step.add_argument("checkpoints", nargs="+")
    given = parser.parse_args()

    (given.out / "streams").mkdir(parents=True, exist_ok=True)
    if given.step == "films":
        record_films(given.folder, given.out, given.variants)
    elif given.step == "people":
        join_people(given.folder, given.out, given.people, given.others)
    elif given.step == "report":
        report(given.out, given.checkpoints)
    elif given.step == "joints":
        for checkpoint in given.checkpoints:
            predict_joints(given.folder, given.out, checkpoint)
    else:
        for checkpoint in given.checkpoints:
            {"predict": predict, "replay": replay}[given.step](given.out, checkpoint)


if __name__ == "__main__":
    main()
