"""Records of a classification of a recording, to store, show and draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dvspipe.results import (
    EventRates,
    InferenceRun,
    LabelRow,
    LayerActivity,
    Prediction,
    SegmentRow,
    Timeline,
    TimeScores,
)

CLASSES = ("hand wave", "drums", "<script>alert(1)</script>", "$x$ & _y")
RUN = InferenceRun(
    checkpoint="best.safetensors",
    network="0" * 64,
    trained_on="synthetic <b>",
    classes=CLASSES,
    sensor="12x7",
    window_us=200_000,
    step_us=20_000,
    hop_us=100_000,
    stateful=False,
    settings={"hop_us": 100_000, "segments": {"enter": 0.5, "leave": 0.35}},
    versions={"dvspipe": "0.1.0"},
)
SCORES = TimeScores(
    confusion=((0, 0, 0, 0), (0, 8, 2, 0), (0, 0, 7, 0), (0, 0, 0, 3)),
    segments_found=2,
    segments=2,
    labels=2,
    delays_us=(100_000, 200_000),
)
SEGMENTS = tuple(
    SegmentRow(t_start_us=start_us, t_end_us=end_us, label=label, class_name=name, probability=0.8)
    for start_us, end_us, label, name in (
        (0, 1_000_000, 1, CLASSES[1]),
        (1_000_000, 1_500_000, None, "uncertain"),
        (1_500_000, 2_500_000, 2, CLASSES[2]),
    )
)


def make_layer(**changes: Any) -> LayerActivity:
    values = {
        "name": "lif1",
        "neurons": 100,
        "connections": 720,
        "fan_out": 250.0,
        "steps": 125,
        "spikes_in": 12_000.0,
        "rate": 0.1,
        "multiplies": False,
    }
    return LayerActivity.model_validate(values | changes)


def make_timeline(
    rows: Sequence[Sequence[float]], events: Sequence[int] = (), *, window_us: int, hop_us: int
) -> Timeline:
    """Timeline of familiar windows with these probabilities."""
    starts_us = hop_us * np.arange(len(rows))
    counts = np.array(events or [100] * len(rows))
    probabilities, familiar = np.array(rows, np.float32), np.ones(len(rows), np.bool_)
    ends_us = starts_us + window_us
    return Timeline(starts_us, ends_us, counts, counts, probabilities, familiar, hop_us, window_us // 2)


def make_prediction(file: str = "a.h5", **changes: Any) -> Prediction:
    """Prediction of SEGMENTS in windows of 0.1 s."""
    shares = [[0, 1, 0, 0]] * 10 + [[0.25] * 4] * 5 + [[0, 0.4, 0.6, 0]] * 10
    values = {
        "file": file,
        "folder": file,
        "label": 1,
        "class": CLASSES[1],
        "probability": 0.8,
        "certain": False,
        "probabilities": [0.1, 0.8, 0.1, 0],
        "events": 500,
        "windows": 25,
        "segments": SEGMENTS,
        "timeline": make_timeline(shares, window_us=100_000, hop_us=100_000),
        "classes": CLASSES,
        "t_first_us": 0,
        "t_last_us": 2_499_999,
        "rates": EventRates(start_us=0, bin_us=100_000, counts=(30,) * 25),
        "classified_us": 2_500_000,
        "layers": [make_layer()],
        "trained_on": "",
        "labels": [
            LabelRow(t_start_us=0, t_end_us=1_000_000, class_name=CLASSES[1]),
            LabelRow(t_start_us=1_500_000, t_end_us=2_500_000, class_name=CLASSES[2]),
        ],
    }
    return Prediction.model_validate(values | changes)
