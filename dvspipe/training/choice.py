"""Choice of settings for a folder of recordings: `choose_settings` reads them, `_choose_values` has the formulas."""

from __future__ import annotations

import logging
import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from ..base.errors import DataError
from ..base.progress import Progress, ignore_progress
from ..checkpoints.checkpoint import load_config
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
SHOWN = (
    *("sensor", "steps", "step_us", "downsample", "window_us", "roi", "size", "group", "validation"),
    *("views", "batch", "epochs"),
)

log = logging.getLogger(__package__)


def choose_settings(
    root: str | Path,
    given: TrainConfig = TrainConfig(),
    progress: Progress = ignore_progress,
    *,
    jobs: int | str = 1,
    with_unusable: bool = False,
) -> TrainConfig:
    """Choose settings to train on a folder of recordings, after reading all of them, and log them in one line.

    Steps follow from durations and event rates, downsampling from the sensor, batch and epochs from the number of
    recordings. Videos are framed to the moving person if most of them show one. With `init`, framing, bins and network
    come from the checkpoint. If file names contain a person or source, its recordings stay in one part.

    Args:
        root: ROOT/<class>/<recording or video>, ROOT/train/<class> and ROOT/test/<class>, or recordings with label
            files.
        given: Settings that are given are used instead of chosen ones.
        progress: Called with the number of recordings done and the total.
        jobs: Number of processes that read recordings, or a Ray cluster.
        with_unusable: Whether to choose for a folder with recordings that cannot be read or are empty, too.

    Raises:
        DataError: If the folder does not have the expected layout, or a recording cannot be read or is empty.
        ConfigError: If given settings contradict each other.

    Example:
        >>> from dvspipe import TrainConfig, choose_settings, train
        >>> config = choose_settings("recordings", TrainConfig(rule="eprop"))  # doctest: +SKIP
        >>> config.steps, config.step_us  # doctest: +SKIP
        (20, 75000)
        >>> train(config, out="runs/mine")  # doctest: +SKIP
    """
    fixed = TrainConfig(**folder_config(root).given | given.given)

    # A rule may need other settings than the defaults: they belong to the first check of the settings.
    config = TrainConfig(**_choose_for_rule(fixed) | fixed.given)
    check_settings(config)

    # Recordings are framed as the network to fine-tune expects, or as suits the videos.
    init = None if config.init is None else load_config(config.init)
    if init is None:
        framing = choose_framing(open_dataset(config, config), config, progress)
    else:
        adopted = adopt_framing(config, init).given
        framing = {name: adopted[name] for name in ("size", *FramingConfig.model_fields) if name in adopted}
        fixed = TrainConfig(**init.bins.to_record() | init.network.to_record() | fixed.given)
    config = config.model_copy(update=framing)

    data = open_dataset(config, config)
    measured = measure(data, progress, jobs=jobs)
    unusable = [measurement.problem for measurement in measured if not measurement.events]
    if unusable and not with_unusable:
        listed = "; ".join(unusable[:LISTED])
        raise DataError(f"{root}: {len(unusable)} of {len(measured)} recordings cannot be used; remove them: {listed}")

    # A setting that does not apply to the kind of network has no effect.
    unused = TrainConfig.find_unused(dict(fixed))
    chosen = _choose_values(data, measured, config, fixed) | framing
    complete = TrainConfig(**{name: value for name, value in chosen.items() if name not in unused} | fixed.given)
    check_settings(complete)

    shown = ", ".join(f"{name}={complete.given[name]}" for name in SHOWN if complete.given.get(name) is not None)
    log.info("chosen for %d recordings of %d classes: %s", len(measured), len(data.classes), shown)
    return complete


def _choose_values(
    data: DataSet, measured: Sequence[Measurement], config: TrainConfig, fixed: TrainConfig
) -> dict[str, JsonValue]:
    """Return all settings that follow from the recordings, also those that `fixed` replaces."""
    # A few recordings that are longer than most do not set the time scale.
    durations_us = np.array([measurement.duration_us or 0 for measurement in measured])
    most_us = float(np.quantile(durations_us, QUANTILE))
    is_long = config.data in ("folder", "labelled") and most_us > LONG_US
    span_us = float(min(WINDOW_US, np.median(durations_us))) if is_long else most_us

    sensor = max((measurement.sensor for measurement in measured), key=lambda size: size.width * size.height)
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

    # Two significant digits, rounded up.
    step_us = max(1.0, span_us / steps)
    unit = 10 ** max(0, math.floor(math.log10(step_us)) - 1)
    chosen = {
        "steps": steps,
        "step_us": math.ceil(step_us / unit) * unit,
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
    return find_unmet_needs(given.rule, network) | {"loss": "each_step"}


def _choose_passes(given: TrainConfig, samples: int) -> dict[str, JsonValue]:
    """Repeat few recordings until the weights of STDP converge, unless the number of epochs is given."""
    layers = _count_layers(given)
    passes = min(MAX_PASSES, math.ceil(STDP_SEEN / samples))
    if "epochs" in given.given:
        passes = max(1, given.epochs // layers)

    doubled_after = max(1, passes * samples // STDP_DOUBLINGS)
    return {"passes": passes, "doubled_after": doubled_after, "epochs": layers * passes}


def _count_layers(given: TrainConfig) -> int:
    """Return the number of layers of a network of kind `stdp`."""
    return len(given.channels if "channels" in given.given else STDP_CHANNELS)


def find_group_pattern(samples: Sequence[Sample]) -> str | None:
    """Find a pattern for the person or source in the names of recordings; None if there is none.

    Every file must have a match, and every class at least three different ones. Most of them must also occur in other
    classes, except in names of known data sets.
    """
    label_of_file = {sample.file: sample.label for sample in samples if sample.file is not None}
    for pattern in (*FILM_PATTERNS, *GROUP_PATTERNS):
        groups = {file: match[0] for file in label_of_file if (match := re.search(pattern, file.name))}
        if not groups or len(groups) < len(label_of_file):
            continue

        # A person usually records several classes; a name that occurs in one class only may describe the class.
        pairs = {(group, label_of_file[file]) for file, group in groups.items()}
        groups_of_class = Counter(label for _, label in pairs)
        classes_of_group = Counter(group for group, _ in pairs)
        is_source = pattern in FILM_PATTERNS or np.median([*classes_of_group.values()]) >= 2
        has_several = min(groups_of_class.values()) >= MIN_GROUPS
        if has_several and is_source and len(classes_of_group) < len(groups):
            return pattern

    return None
