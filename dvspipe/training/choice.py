"""Choice of settings for a folder of recordings, with reasons.

`choose_settings` reads all recordings and chooses in order: framing (`_choose_framing`), then everything that follows
from durations, rates and numbers (`_choose_from_data`), then what the learning rule needs (`rule_choice`). Given
settings always win, and get no reason.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import JsonValue

from ..base.errors import DataError, brief, count_noun
from ..base.progress import Progress, ignore_progress
from ..checkpoints.checkpoint import ClassifierConfig, load_config
from ..datasets import DataSet, DecodedEvents, Sample, folder_config, open_dataset
from ..datasets.lists import FILM_PATTERNS
from ..datasets.survey import Measurement, measure
from ..encoding import BinConfig
from ..events import SensorSize
from ..framing import FramingConfig
from ..networks import NetworkConfig
from ..results import SPLITS
from .config import TrainConfig, check_settings
from .framing import adopt_framing, choose_framing
from .rule_choice import CHANNELS, choose_for_rule, fit_to_data

LONG_US = 3_000_000  # longer recordings are split into windows
WINDOW_US = 1_500_000  # for long recordings; a gesture of DVS128 Gesture repeats within it
SHORT_US = 500_000  # shorter recordings get fewer steps
SIDE = 40  # maximum side of the spike tensor in pixels
MIN_EVENTS = 30  # minimum events per step
FEWEST_STEPS = 5
QUANTILE = 0.9  # quantile of the durations: the steps cover 9 of 10 recordings
FEW_RECORDINGS = "few recordings, and polarity depends on whether the background is light or dark"
FEW = 200  # recordings; with fewer, more are held out, and augmented views are used
# user01_wave.h5; p1wave.h5; boxing_g03_c01.avi, recording c01 of g03.
GROUP_PATTERNS = (r"^[^_\W]+(?=[_-])", r"^[A-Za-z]+\d+", r"(?<=[_-])[A-Za-z]*\d+(?=[_-][A-Za-z]*\d+\.)")
MIN_GROUPS = 3
MAX_SHOWN_LETTERS = 100  # characters of a group of settings in a `repr`
COMMENT = textwrap.TextWrapper(
    79,  # a terminal has 80 columns
    initial_indent="# ",
    subsequent_indent="# ",
    break_long_words=False,  # a path stays complete
    break_on_hyphens=False,
)
LISTED = 3  # unusable recordings, or smallest and largest sensors, listed in a message
SAME_SENSOR = 0.75  # minimum size ratio of equal sensors; sizes guessed from events are seldom smaller


@dataclass(frozen=True, repr=False)
class Choice:
    """Settings for a folder of recordings.

    Args:
        config: Chosen and given settings; the others have their defaults.
        reasons: Reasons of decisions, by the setting that shows them.
        warnings: Unintended cues in the recordings that a network could use, one line each.
        decoded: Decoded events of the recordings; pass them to `train` to avoid decoding again.
    """

    config: TrainConfig
    reasons: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    decoded: DecodedEvents = field(default_factory=DecodedEvents)

    def __repr__(self) -> str:
        listed = ", ".join(f"{name}={brief(value, MAX_SHOWN_LETTERS)}" for name, value in self.config.given.items())

        return f"Choice({listed}, {count_noun(len(self.warnings), 'warning')})"

    def to_yaml(self) -> str:
        """Return the settings as YAML that fits a terminal, with the reasons as comments."""
        lines = list[str]()
        settings = {"name": self.config.name, **self.config.model_dump(mode="json", exclude_unset=True)}
        for name, value in settings.items():
            lines += COMMENT.wrap(self.reasons.get(name, ""))
            lines.append(yaml.safe_dump({name: value}, width=COMMENT.width).rstrip())

        return "\n".join(lines) + "\n"


def choose_settings(root: str | Path, given: TrainConfig = TrainConfig(), progress: Progress | None = None) -> Choice:
    """Choose settings to train on a folder of recordings, after reading all of them.

    Steps follow from durations and event rates, downsampling from the sensor, batch and epochs from the number of
    recordings. Videos are framed to the moving person if most of them show one. With `init`, framing, bins and network
    come from the checkpoint. If file names contain a person or source, its recordings stay in one part.

    Args:
        root: ROOT/<class>/<recording or video>, ROOT/train/<class> and ROOT/test/<class>, or recordings with label
            files.
        given: Settings that are given are used instead of chosen ones.
        progress: Called with the number of recordings done and the total.

    Raises:
        DataError: If the folder does not have the expected layout, or a recording cannot be read or is empty.
        ConfigError: If given settings contradict each other, or do not fit the recordings.

    Example:
        >>> from dvspipe import TrainConfig, choose_settings, train
        >>> choice = choose_settings("recordings", TrainConfig(rule="eprop"))  # doctest: +SKIP
        >>> print(choice.to_yaml())  # doctest: +SKIP
        >>> train(choice.config, "runs/mine", decoded=choice.decoded)  # doctest: +SKIP
    """
    fixed = TrainConfig(**folder_config(root).given | given.given)

    # A rule may need other settings than the defaults: they belong to the first check of the settings.
    config = TrainConfig(**choose_for_rule(fixed).settings | fixed.given)
    check_settings(config)

    init = None if config.init is None else load_config(config.init)
    framing, why = _choose_framing(config, init, progress)
    config = config.model_copy(update=framing)

    decoded = DecodedEvents()
    opened = open_dataset(config, config, decoded=decoded)
    measured = measure(opened, progress)
    _check_usable(str(root), measured)

    if init is not None:
        fixed = TrainConfig(**init.bins.to_record() | init.network.to_record() | fixed.given)
    chosen, reasons = _choose_from_data(opened, measured, config, fixed)
    chosen |= framing
    if framing:
        reasons["size" if "size" in framing else "roi"] = why

    # Settings without use are left out, with their reasons: the file should contain only what has an effect.
    unused = {*TrainConfig.find_unused(dict(fixed)), *fixed.given, *(("ema",) if fixed.call == "step" else ())}
    chosen = {name: value for name, value in chosen.items() if name not in unused}
    reasons = {name: reason for name, reason in reasons.items() if name in chosen}
    if init is not None and "steps" not in given.given:
        reasons |= {"steps": f"as in {config.init}"}

    complete = TrainConfig(**chosen | fixed.given)
    check_settings(complete)
    _check_network(complete, opened, measured)

    return Choice(complete, reasons, tuple(_compare_sensors(str(root), opened, measured)), decoded)


def _check_usable(root: str, measured: Sequence[Measurement]) -> None:
    """Check that all recordings have events."""
    unusable = [measurement.problems[0] for measurement in measured if not measurement.events]
    if unusable:
        listed = "; ".join(unusable[:LISTED]) + ("; ..." if len(unusable) > LISTED else "")
        raise DataError(f"{root}: {len(unusable)} of {len(measured)} recordings cannot be used; remove them: {listed}")


def _check_network(config: TrainConfig, opened: DataSet, measured: Sequence[Measurement]) -> None:
    """Check that the settings build a valid network; custom modules are built only during training."""
    if config.network == "module":
        return

    sensor = _largest_sensor(measured)
    ClassifierConfig(
        classes=opened.classes,
        width=sensor.width,
        height=sensor.height,
        bins=config.part(BinConfig),
        inputs=opened.inputs,
        network=config.part(NetworkConfig),
    ).build_network()


def _largest_sensor(measured: Sequence[Measurement]) -> SensorSize:
    return max((measurement.sensor for measurement in measured), key=lambda size: size.width * size.height)


def _compare_sensors(name: str, opened: DataSet, measured: Sequence[Measurement]) -> Iterator[str]:
    """Yield a warning if classes were recorded with different sensor sizes, a cue for the class."""
    largest: dict[str, SensorSize] = {}
    for measurement in measured:
        label = opened.classes[measurement.label]
        largest[label] = max(largest.get(label, measurement.sensor), measurement.sensor, key=_longer_side)

    sides = [_longer_side(size) for size in largest.values()]
    if min(sides) < SAME_SENSOR * max(sides):
        # Only the smallest and the largest ones are listed.
        by_size = sorted(largest, key=lambda label: _longer_side(largest[label]))
        listed = [f"{label} {largest[label]}" for label in by_size]
        shown = ", ".join(listed if len(listed) <= 2 * LISTED else [*listed[:LISTED], "...", *listed[-LISTED:]])
        yield (
            f"{name}: classes have different sensor sizes, so a network can learn the size instead of the motion "
            f"({shown}); record all classes with one sensor, or train on them separately"
        )


def _longer_side(size: SensorSize) -> int:
    return max(size.width, size.height)


def _choose_framing(
    config: TrainConfig, init: ClassifierConfig | None, progress: Progress | None
) -> tuple[dict[str, JsonValue], str]:
    """Frame a data set as the network to fine-tune, or as suits the videos; return the settings and the reason."""
    if init is not None:
        adopted = adopt_framing(config, init)
        names = ("size", *FramingConfig.model_fields)
        framing = {name: value for name, value in adopted.given.items() if name in names}
        return framing, f"framed as in {config.init}"

    choice = choose_framing(open_dataset(config, config), config, progress or ignore_progress)
    return ({}, "") if choice is None else (choice.settings, choice.reason)


class _TimeScale(NamedTuple):
    """Durations of the recordings in microseconds, and what follows from them.

    Args:
        is_long: Whether recordings are split into windows.
        span_us: Time that the steps should cover.
        rate_hz: Median event rate.
    """

    durations_us: NDArray[np.int64]
    is_long: bool
    span_us: float
    rate_hz: float


def _find_time_scale(measured: Sequence[Measurement], config: TrainConfig) -> _TimeScale:
    # A few recordings that are longer than most do not set the time scale.
    durations_us = np.array([measurement.duration_us or 0 for measurement in measured])
    most_us = float(np.quantile(durations_us, QUANTILE))
    is_long = config.data in ("folder", "labelled") and most_us > LONG_US
    span_us = float(min(WINDOW_US, np.median(durations_us))) if is_long else most_us

    rates_hz = [measurement.events / max(1, measurement.duration_us or 0) * 1e6 for measurement in measured]
    return _TimeScale(durations_us, is_long, span_us, float(np.median(rates_hz)))


def _choose_from_data(
    opened: DataSet, measured: Sequence[Measurement], config: TrainConfig, fixed: TrainConfig
) -> tuple[dict[str, JsonValue], dict[str, str]]:
    """Return chosen settings, also for fixed ones, and reasons by setting."""
    durations_us, is_long, span_us, rate_hz = _find_time_scale(measured, config)
    sensor = _largest_sensor(measured)
    bins = _choose_bins(config.window_us or span_us, rate_hz, sensor, fixed)
    window_us = bins.tensor_us
    step_s = bins.step_us * 1e-6

    # Samples to divide into parts; each window of a long recording is one.
    samples = len(opened.train) + len(opened.validation) + (0 if opened.fixed_test else len(opened.test))
    if is_long:
        samples = round(samples * float(np.maximum(1, durations_us // window_us).mean()))

    # The rest trains: the test part is drawn from all samples, the validation part from the others.
    validation = 0.2 if samples < FEW else 0.1
    tested = 0 if opened.fixed_test else config.test
    trained = math.ceil(samples * (1 - tested) * (1 - validation))
    optimiser, updates = _choose_optimiser(trained)

    # The groups of a published split are in its file.
    group = find_group_pattern(opened.samples) if opened.split is None else None
    seconds = f"{durations_us.min() / 1e6:.2f} to {durations_us.max() / 1e6:.2f} s"
    reasons = {
        "name": f"{len(measured)} recordings of {len(opened.classes)} classes, {seconds}, sensor {sensor}",
        "steps": f"{bins.steps} steps of {bins.step_us / 1000:g} ms, each with about {rate_hz * step_s:,.0f} events; "
        f"{sensor} in blocks of {bins.downsample}",
        "tau_mem_s": "membranes remember about two steps",
        "tau_readout_s": "the readout remembers half of the tensor",
    }
    if "batch" not in fixed.given:
        reasons |= {"epochs": f"chosen for about {updates} weight updates"}
    if "group" not in fixed.given:
        reasons["validation" if group is None else "group"] = _explain_group(opened, group)

    chosen: dict[str, JsonValue] = {
        "name": re.sub(r"[^\w.-]+", "-", config.root.resolve().name if config.root else "").strip("-.") or "run",
        "validation": validation,
        **({} if group is None else {"group": group}),
        **({} if sensor == opened.sensor else {"sensor": str(sensor)}),
        **bins.given,
        **_choose_network(bins),
        **optimiser,
    }
    if is_long:
        chosen |= {"window_us": window_us}
        reasons |= {"window_us": f"recordings of up to {durations_us.max() / 1e6:.1f} s are split into windows"}
    if samples < FEW:
        chosen |= {"views": 8, "rotate_deg": 15, "scale": 0.15, "time_scale": 0.1}
        reasons |= {"views": "few recordings: augmented views are added"}
    if samples < FEW and bins.polarity != "merged":
        chosen |= {"flip_polarity": True}
        reasons |= {"flip_polarity": FEW_RECORDINGS}

    by_rule = fit_to_data(choose_for_rule(fixed), fixed, samples=trained, window_us=window_us, grid=bins.grid(sensor))
    return by_rule.apply(chosen, reasons)


def _choose_bins(span_us: float, rate_hz: float, sensor: SensorSize, fixed: TrainConfig) -> BinConfig:
    """Choose steps that cover a duration, respecting fixed settings."""
    steps = 10 if span_us < SHORT_US else 20

    while steps > FEWEST_STEPS and rate_hz * span_us * 1e-6 / steps < MIN_EVENTS:
        steps //= 2

    # A given length of a step decides their number, unless that is given, too.
    if "step_us" in fixed.given:
        steps = max(1, math.ceil(span_us / fixed.step_us))
    steps = fixed.given.get("steps", steps)

    chosen = {
        "steps": steps,
        "step_us": round_up(max(1.0, span_us / steps)),
        "downsample": math.ceil(max(sensor.width, sensor.height) / SIDE),
    }
    return BinConfig(**chosen | fixed.part(BinConfig).given)


def _choose_network(bins: BinConfig) -> dict[str, JsonValue]:
    # Time constants follow the steps: a membrane remembers about two, the readout about half of the tensor.
    step_s = bins.step_us * 1e-6
    return {
        "channels": list(CHANNELS),
        "kernel": 3,
        "tau_mem_s": round(2 * step_s, 6),
        "tau_readout_s": round(max(bins.tensor_us / 2 * 1e-6, 2 * step_s), 6),
        "dropout": 0.2,
    }


def _explain_group(opened: DataSet, group: str | None) -> str:
    """Return the reason of a pattern for groups, the result of `find_group_pattern`."""
    if opened.split is not None:
        groups = count_noun(len({sample.group for sample in opened.samples}), "group")
        return f"parts are as in split {opened.split} of {SPLITS}; {groups} of recordings stay together"
    if group is not None:
        matches = (re.search(group, sample.file.name) for sample in opened.samples if sample.file)
        names = sorted({match[0] for match in matches if match})
        return f"recordings of a person or source stay in one part: {len(names)} of them, such as {names[0]}"

    shown = "file names do not show a person or source"
    if opened.in_time:
        return f"too few films of {', '.join(opened.in_time)}, so each is divided in time; {shown}"

    is_grouped = len({sample.group for sample in opened.samples}) < len({sample.file for sample in opened.samples})
    groups = "files that differ only in a number are a group" if is_grouped else "each recording is a separate group"
    return f"{groups}; {shown}"


def _choose_optimiser(samples: int) -> tuple[dict[str, JsonValue], int]:
    """Return settings of the optimiser, and the number of weight updates that they give."""
    batch = min(32, max(4, samples // 10))
    updates_per_epoch = math.ceil(samples / batch)

    # At most about 600 updates or 4000 samples, whichever is less, but 8 to 60 epochs.
    epochs = max(8, min(60, math.ceil(600 / updates_per_epoch), math.ceil(4000 / samples)))
    return {"epochs": epochs, "batch": batch, "learning_rate": 0.004, "ema": 0.95}, epochs * updates_per_epoch


def find_group_pattern(samples: Sequence[Sample]) -> str | None:
    """Find a pattern for the person or source in the names of recordings; None if there is none.

    Every file must have a match, and every class at least three different ones. Most of them must also occur in other
    classes, except in names of known data sets.
    """
    label_of_file = {sample.file: sample.label for sample in samples if sample.file is not None}
    for pattern in (*FILM_PATTERNS, *GROUP_PATTERNS):
        matches = {file: re.search(pattern, file.name) for file in label_of_file}
        if not matches or not all(matches.values()):
            continue

        labels_of_group: defaultdict[str, set[int]] = defaultdict(set)
        for file, match in matches.items():
            assert match is not None
            labels_of_group[match[0]].add(label_of_file[file])

        # A person usually records several classes; a name that occurs in one class only may describe the class.
        groups_of_class = Counter(label for labels in labels_of_group.values() for label in labels)
        classes_of_group = np.median([len(labels) for labels in labels_of_group.values()])
        is_source = pattern in FILM_PATTERNS or classes_of_group >= 2
        has_several = min(groups_of_class.values()) >= MIN_GROUPS
        if has_several and is_source and len(labels_of_group) < len(label_of_file):
            return pattern

    return None


def round_up(number: float) -> int:
    """Round up to two significant digits.

    Example:
        >>> round_up(123_400.0)
        130000
    """
    unit: int = 10 ** max(0, math.floor(math.log10(number)) - 1)
    return math.ceil(number / unit) * unit
