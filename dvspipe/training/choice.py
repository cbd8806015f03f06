"""Choice of settings for a folder of recordings: `choose_settings` reads them, `_choose_values` has the formulas."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from ..base.errors import DataError
from ..base.progress import Progress, ignore_progress
from ..checkpoints.checkpoint import ClassifierConfig, load_config
from ..datasets import DataSet, Sample, folder_config, open_dataset
from ..datasets.lists import FILM_PATTERNS
from ..datasets.survey import Measurement, measure
from ..encoding import BinConfig
from ..events import SensorSize
from ..framing import FramingConfig
from ..networks import NetworkConfig
from ..rules import find_unmet_needs
from .config import TrainConfig, check_settings
from .framing import adopt_framing, choose_framing

LONG_US = 3_000_000  # longer recordings are split into windows
WINDOW_US = 1_500_000  # for long recordings; a gesture of DVS128 Gesture repeats within it
SHORT_US = 500_000  # shorter recordings get fewer steps
SIDE = 40  # maximum side of the spike tensor in pixels
MIN_EVENTS = 30  # minimum events per step
MIN_STEPS = 5
QUANTILE = 0.9  # quantile of the durations: the steps cover 9 of 10 recordings
FEW = 200  # recordings; with fewer, more are held out, and augmented views are used
CHANNELS = (16, 32, 64)
STDP_CHANNELS = (32, 150)  # Kheradpisheh et al. 2018
STDP_SEEN = 1350  # recordings per layer until its weights converge, as in configs/nmnist-stdp.yaml
STDP_DOUBLINGS = 9  # doublings of the STDP rates in this time
MAX_PASSES = 20  # each pass also fits the readout, to all augmented views of the recordings
# user01_wave.h5; p1wave.h5; boxing_g03_c01.avi, recording c01 of g03.
GROUP_PATTERNS = (r"^[^_\W]+(?=[_-])", r"^[A-Za-z]+\d+", r"(?<=[_-])[A-Za-z]*\d+(?=[_-][A-Za-z]*\d+\.)")
MIN_GROUPS = 3
LISTED = 3  # unusable recordings in a message
SAME_SENSOR = 0.75  # minimum size ratio of equal sensors; sizes guessed from events are seldom smaller


@dataclass(frozen=True)
class Choice:
    """Settings for a folder of recordings.

    Args:
        config: Chosen and given settings; the others have their defaults.
        summary: What was chosen and from what, one line.
        warnings: Cues in the recordings that a network could learn instead of the classes, one line each.
    """

    config: TrainConfig
    summary: str
    warnings: tuple[str, ...] = ()


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
        ConfigError: If given settings contradict each other.

    Example:
        >>> from dvspipe import TrainConfig, choose_settings, train
        >>> choice = choose_settings("recordings", TrainConfig(rule="eprop"))  # doctest: +SKIP
        >>> choice.summary  # doctest: +SKIP
        'chosen: 20 steps of 75 ms, blocks of 4, ...; from 120 recordings of 4 classes, 0.8 to 1.6 s'
        >>> train(choice, out="runs/mine")  # doctest: +SKIP
    """
    fixed = TrainConfig(**folder_config(root).given | given.given)

    # A rule may need other settings than the defaults: they belong to the first check of the settings.
    config = TrainConfig(**_choose_for_rule(fixed) | fixed.given)
    check_settings(config)

    init = None if config.init is None else load_config(config.init)
    framing = _choose_framing(config, init, progress)
    config = config.model_copy(update=framing)

    data = open_dataset(config, config)
    measured = measure(data, progress)
    unusable = [measurement.problems[0] for measurement in measured if not measurement.events]
    if unusable:
        listed = "; ".join(unusable[:LISTED]) + ("; ..." if len(unusable) > LISTED else "")
        raise DataError(f"{root}: {len(unusable)} of {len(measured)} recordings cannot be used; remove them: {listed}")

    if init is not None:
        fixed = TrainConfig(**init.bins.to_record() | init.network.to_record() | fixed.given)
    chosen = _choose_values(data, measured, config, fixed) | framing

    # A setting that does not apply to the kind of network has no effect.
    unused = TrainConfig.find_unused(dict(fixed))
    complete = TrainConfig(**{name: value for name, value in chosen.items() if name not in unused} | fixed.given)
    check_settings(complete)

    return Choice(complete, _summarize(complete, data, measured), _compare_sensors(data, measured))


def _choose_framing(
    config: TrainConfig, init: ClassifierConfig | None, progress: Progress | None
) -> dict[str, JsonValue]:
    """Frame a data set as the network to fine-tune, or as suits the videos."""
    if init is None:
        return choose_framing(open_dataset(config, config), config, progress or ignore_progress)

    names = {"size", *FramingConfig.model_fields}
    return {name: value for name, value in adopt_framing(config, init).given.items() if name in names}


def _choose_values(
    data: DataSet, measured: Sequence[Measurement], config: TrainConfig, fixed: TrainConfig
) -> dict[str, JsonValue]:
    """Return all settings that follow from the recordings, also those that `fixed` replaces."""
    # A few recordings that are longer than most do not set the time scale.
    durations_us = np.array([measurement.duration_us or 0 for measurement in measured])
    most_us = float(np.quantile(durations_us, QUANTILE))
    is_long = config.data in ("folder", "labelled") and most_us > LONG_US
    span_us = float(min(WINDOW_US, np.median(durations_us))) if is_long else most_us

    sensor = _largest_sensor(measured)
    bins = _choose_bins(config.window_us or span_us, measured, sensor, fixed)
    step_s = bins.step_us * 1e-6

    # Samples to divide into parts; each window of a long recording is one. The rest trains: the test part is drawn from
    # all samples, the validation part from the others.
    samples = len(data.train) + len(data.validation) + (0 if data.fixed_test else len(data.test))
    if is_long:
        samples = round(samples * float(np.maximum(1, durations_us // bins.tensor_us).mean()))
    validation = 0.2 if samples < FEW else 0.1
    trained = math.ceil(samples * (1 - (0 if data.fixed_test else config.test)) * (1 - validation))

    # At most about 600 updates or 4000 samples, whichever is less, but 8 to 60 epochs.
    batch = min(32, max(4, trained // 10))
    epochs = max(8, min(60, math.ceil(600 / math.ceil(trained / batch)), math.ceil(4000 / trained)))

    chosen: dict[str, JsonValue] = {
        "name": re.sub(r"[^\w.-]+", "-", config.root.resolve().name if config.root else "").strip("-.") or "run",
        "validation": validation,
        **bins.given,
        "channels": list(CHANNELS),
        "kernel": 3,
        "tau_mem_s": round(2 * step_s, 6),  # membranes remember about two steps
        "tau_readout_s": round(max(bins.tensor_us / 2 * 1e-6, 2 * step_s), 6),  # the readout, half of the tensor
        "dropout": 0.2,
        "epochs": epochs,
        "batch": batch,
        "learning_rate": 0.004,
        "ema": 0.95,
    }

    # The groups of a published split are in its file.
    group = find_group_pattern(data.samples) if data.split is None else None
    if group is not None:
        chosen |= {"group": group}
    if sensor != data.sensor:
        chosen |= {"sensor": str(sensor)}
    if is_long:
        chosen |= {"window_us": bins.tensor_us}
    if samples < FEW:
        chosen |= {"views": 8, "rotate_deg": 15, "scale": 0.15, "time_scale": 0.1}
    if samples < FEW and bins.polarity != "merged":
        chosen |= {"flip_polarity": True}  # polarity depends on whether the background is light or dark

    if fixed.network == "stdp":
        for name in ("learning_rate", "ema"):  # STDP has its own
            del chosen[name]
        chosen |= _choose_passes(fixed, trained)
    return chosen | _choose_for_rule(fixed)


def _choose_bins(span_us: float, measured: Sequence[Measurement], sensor: SensorSize, fixed: TrainConfig) -> BinConfig:
    """Choose steps that cover a duration and have enough events each, respecting fixed settings."""
    rates_hz = [measurement.events / max(1, measurement.duration_us or 0) * 1e6 for measurement in measured]
    events = float(np.median(rates_hz)) * span_us * 1e-6
    steps = 10 if span_us < SHORT_US else 20
    while steps > MIN_STEPS and events / steps < MIN_EVENTS:
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


def _choose_for_rule(given: TrainConfig) -> dict[str, JsonValue]:
    """Return the settings that a rule or a kind of network requires, independent of the recordings."""
    if given.network == "stdp":
        layers = _count_layers(given)
        return {
            "form": "binary",  # a pixel spikes at most once per step, because thresholds count spikes
            "channels": list(STDP_CHANNELS),
            "kernel": 5,
            "thresholds": [10] * layers,
            "winners": [5] * layers,
            "radius": [2] * layers,
        }
    if given.rule == "bptt":
        return {}

    network = NetworkConfig(network="mlp" if given.network == "mlp" else "csnn", channels=CHANNELS)
    needs = find_unmet_needs(given.rule, network)
    return needs | {"loss": "each_step"}


def _choose_passes(given: TrainConfig, samples: int) -> dict[str, JsonValue]:
    """Repeat few recordings until the weights of STDP converge, unless the number of epochs is given."""
    layers = _count_layers(given)
    passes = min(MAX_PASSES, math.ceil(STDP_SEEN / samples))
    if "epochs" in given.given:
        passes = max(1, given.epochs // layers)

    return {
        "passes": passes,
        "doubled_after": max(1, passes * samples // STDP_DOUBLINGS),
        "epochs": layers * passes,
    }


def _count_layers(given: TrainConfig) -> int:
    """Return the number of layers of a network of kind `stdp`."""
    return len(given.channels if "channels" in given.given else STDP_CHANNELS)


def _largest_sensor(measured: Sequence[Measurement]) -> SensorSize:
    return max((measurement.sensor for measurement in measured), key=lambda size: size.width * size.height)


def _compare_sensors(data: DataSet, measured: Sequence[Measurement]) -> tuple[str, ...]:
    """Return a warning if classes were recorded with different sensor sizes, a cue for the class."""
    sides: dict[str, int] = {}
    for measurement in measured:
        name = data.classes[measurement.label]
        sides[name] = max(sides.get(name, 0), measurement.sensor.width, measurement.sensor.height)

    smallest = min(sides, key=sides.__getitem__)
    largest = max(sides, key=sides.__getitem__)
    if sides[smallest] >= SAME_SENSOR * sides[largest]:
        return ()
    return (
        f"{data.title}: a network can learn the sensor instead of the motion ({smallest} has a side of "
        f"{sides[smallest]} pixels, {largest} of {sides[largest]}); record all classes with one sensor",
    )


def _summarize(config: TrainConfig, data: DataSet, measured: Sequence[Measurement]) -> str:
    """Return what was chosen and from what, in one line."""
    parts = [f"{config.steps} steps of {config.step_us / 1000:g} ms", f"blocks of {config.downsample}"]
    if config.window_us is not None:
        parts.append(f"windows of {config.window_us / 1e6:g} s")
    if config.roi is not None:
        parts.append(f"roi {config.roi}, size {config.size or data.sensor}")
    if config.group is not None:
        parts.append(f"groups {config.group}")
    parts += [f"{config.views} views", f"batches of {config.batch}", f"{config.epochs} epochs"]

    durations_s = [(measurement.duration_us or 0) / 1e6 for measurement in measured]
    seconds = f"{min(durations_s):.2g} to {max(durations_s):.2g} s"
    return f"chosen: {', '.join(parts)}; from {len(measured)} recordings of {len(data.classes)} classes, {seconds}"


def find_group_pattern(samples: Sequence[Sample]) -> str | None:
    """Find a pattern for the person or source in the names of recordings; None if there is none.

    Every file must have a match, and every class at least three different ones. Most of them must also occur in other
    classes, except in names of known data sets.
    """
    label_of_file = {sample.file: sample.label for sample in samples if sample.file is not None}
    for pattern in (*FILM_PATTERNS, *GROUP_PATTERNS):
        labels_of_group: defaultdict[str, set[int]] = defaultdict(set)
        matched = 0
        for file, label in label_of_file.items():
            if match := re.search(pattern, file.name):
                labels_of_group[match[0]].add(label)
                matched += 1
        if not matched or matched < len(label_of_file):
            continue

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
