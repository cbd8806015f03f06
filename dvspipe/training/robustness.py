"""Accuracy of checkpoints on corrupted recordings."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ..base.errors import DataError
from ..datasets import DataConfig, SpikeTensors, TensorSettings, as_data, open_cache
from ..datasets.samples import Image
from ..events import Events
from ..events.corruption import Corruption
from ..networks import ModuleSource
from ..results import CorruptedAccuracy, CorruptionResult
from .callback import LogCallback, TrainingCallback
from .evaluation import evaluate_network, evaluate_opened, open_evaluation


def evaluate_corrupted(
    checkpoint: str | Path,
    data: DataConfig | Mapping[str, object] | str | Path,
    part: str,
    corruptions: Sequence[Corruption],
    *,
    seed: int = 0,
    batch: int = 32,
    callback: TrainingCallback | None = None,
    trust: str | Sequence[str] = (),
) -> CorruptionResult:
    """Evaluate a trained classifier on a data set, without and with corruptions of its recordings.

    Recordings are corrupted after framing, on the sensor of the network. Each is read once for all corruptions, and
    the memory does not grow with their number. If a corruption removes all events, the first one is kept.

    Args:
        checkpoint: Checkpoint, as in `evaluate`.
        data: Data set, as in `evaluate`; it contains recordings, not images.
        part: Part to evaluate, as in `evaluate`.
        corruptions: Corruptions, each tested alone.
        seed: Seed of the split, as in `evaluate`, and of the corruptions.
        batch: Recordings per batch.
        callback: Called with progress and warnings; None: log lines.
        trust: Packages allowed to run code, as in `evaluate`.

    Raises:
        DvspipeError: As in `evaluate`.
        ArgumentError: If one of the corruptions is something else.
        DataError: If the data set has no events to corrupt.

    Example:
        >>> from dvspipe.events.corruption import Drops
        >>> corruptions = [Drops(0.3), Drops(0.8)]
        >>> result = evaluate_corrupted("runs/train/mine", "recordings", "test", corruptions)  # doctest: +SKIP
        >>> [row.accuracy for row in result.corrupted]  # doctest: +SKIP
        [0.9, 0.71]
    """
    callback = callback or LogCallback()
    data = as_data(data)

    opened = open_evaluation(checkpoint, data, part, seed=seed, callback=callback, modules=ModuleSource.of(trust))
    samples = opened.samples
    settings = TensorSettings(opened.classifier.bins)
    if samples and samples[0].code is not None:
        raise DataError(f"{samples[0].name}: has no events to corrupt (found an image, expected a recording)")

    clean = evaluate_opened(opened, open_cache(data), batch=batch, callback=callback)

    # Read a batch of recordings, then corrupt it in each way. The draws depend on the number of a recording, not on the
    # size of the batch.
    correct = [0] * len(corruptions)
    for first in range(0, len(samples), batch):
        callback.on_progress("corrupting", first, len(samples))
        sources = samples[first : first + batch]
        contents = [sample.read_content() for sample in sources]

        for number, corruption in enumerate(corruptions):
            corrupted = [
                replace(sample, load=partial(_corrupt, content, corruption, [seed, first + index]))
                for index, (sample, content) in enumerate(zip(sources, contents, strict=True))
            ]
            correct[number] += evaluate_network(opened.network, SpikeTensors(corrupted, settings), batch=batch).correct

    rows = [
        CorruptedAccuracy(corruption=corruption.name, strength=corruption.strength, correct=count, samples=len(samples))
        for corruption, count in zip(corruptions, correct, strict=True)
    ]
    return CorruptionResult(clean=clean, corrupted=tuple(rows), seed=seed)


def _corrupt(events: Events | Image, corruption: Corruption, seed: Sequence[int]) -> Events:
    """Corrupt a recording; the draws depend on the seed and the name of the corruption."""
    assert isinstance(events, Events)
    corrupted = corruption(events, np.random.default_rng([*seed, zlib.crc32(corruption.name.encode())]))
    return corrupted if len(corrupted) else events.slice_events(0, 1)  # recordings without events are errors
