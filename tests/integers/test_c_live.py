"""Exported C code of a live stream: the actions of the reference for the same events."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from c_targets import C_COMPILER, FLAGS, NETWORKS, export_classifier, make_classifier
from facts import mentions
from numpy.typing import NDArray

from dvspipe.encoding import BinConfig
from dvspipe.events import Events, SensorSize
from dvspipe.formats import write
from dvspipe.inference import Classifier, InferConfig
from dvspipe.inference.stateful import LIVE_HOP_US
from dvspipe.inference.torch_runner import ActivitySummary, TorchRunner
from dvspipe.integers.classifier import IntegerClassifier
from dvspipe.integers.network import IntegerNetwork, run_integers
from dvspipe.results import Timeline
from dvspipe.streaming.actions import Action, ActionConfig, find_actions
from dvspipe.streaming.answers import LiveAnswer

pytestmark = pytest.mark.skipif(C_COMPILER is None, reason="no C compiler is installed")

SENSOR = SensorSize(width=24, height=14)
BINS = BinConfig(steps=6, step_us=20_000, downsample=2)
TIMES = {"tau_mem_s": 0.05, "tau_readout_s": 0.06}
ENTER = 0.42  # random networks are never sure


def draw_stream(seed: int) -> Events:
    """Draw 24 s in which places and rates change, with a short pause and one longer than a window."""
    rng = np.random.default_rng(seed)
    parts = []
    for start_us in range(0, 24_000_000, 800_000):
        if start_us in (4_000_000, 12_000_000, 12_800_000):
            continue

        count = rng.integers(200, 4000)
        t = np.sort(rng.integers(start_us, start_us + 800_000, count))
        x = np.clip(rng.normal(rng.integers(24), 3, count), 0, 23).astype(int)
        y = np.clip(rng.normal(rng.integers(14), 3, count), 0, 13).astype(int)
        parts.append(np.stack([t, x, y, rng.random(count) < rng.random()]))

    t, x, y, p = np.concatenate(parts, axis=1)
    return Events(t, x, y, p, SENSOR)


def answer(timeline: Timeline, classes: tuple[str, ...]) -> list[LiveAnswer]:
    """Return the predictions of `dvspipe live` for a recording classified with a continuous state."""
    answers = []
    for row, end_us, familiar in zip(timeline.probabilities, timeline.t_end_us, timeline.familiar, strict=True):
        label = int(row.argmax())
        answers.append(
            LiveAnswer(
                t_us=int(end_us),
                label=label,
                class_name=classes[label],
                probability=float(row[label]),
                certain=bool(familiar and row[label] >= np.float32(ENTER)),
                probabilities=tuple(row.tolist()),
                events_per_s=0.0,
                dropped=0,
                latency_us=0,
            )
        )
    return answers


class ReferenceRunner:
    """Runs a network in integers by the reference, instead of the network in PyTorch."""

    def __init__(self, network: IntegerNetwork) -> None:
        self.network = network

    def run(self, spikes: NDArray[np.uint8], state: Any, *, copies: int = 1) -> tuple[NDArray[np.float32], object]:  # noqa: ARG002
        after = run_integers(self.network, spikes, state)
        return (self.network.readout.unit * after.integrators).astype(np.float32), after

    @contextmanager
    def count_activity(self) -> Iterator[ActivitySummary]:
        yield lambda: ()


def classify(classifier: IntegerClassifier, recording: Path) -> Timeline:
    """Classify a recording in integers with a continuous state."""
    floats = Classifier(classifier.config, classifier.config.build_network())
    floats.runner = cast("TorchRunner", ReferenceRunner(classifier.network))
    timeline = floats.predict(recording, InferConfig(stateful=True, hop_us=LIVE_HOP_US)).timeline
    assert timeline is not None
    return timeline


def run_live(folder: Path, recording: Path) -> subprocess.CompletedProcess[str]:
    """Compile live.c, and run it on a recording."""
    assert C_COMPILER is not None
    sources = [folder / name for name in ("live.c", "dvspipe_live.c", "dvspipe_network.c")]
    options = ["-ffp-contract=off", f"-DDVSPIPE_ENTER={ENTER}f", "-DDVSPIPE_HOLD_US=200000", "-DDVSPIPE_GAP_US=400000"]
    command: list[str | Path] = [*C_COMPILER.compiler, *FLAGS, *options, *sources, "-lm", "-o", folder / "live"]
    subprocess.run(command, check=True)
    with recording.open("rb") as file:
        return subprocess.run([folder / "live"], stdin=file, capture_output=True, text=True, check=True)


@pytest.mark.parametrize(
    ("names", "settings", "classes"),
    [
        (("wave", "clap", "other_gestures"), {}, {"wave", "clap"}),
        (("other_gestures", "wave", "clap"), {"temperature": 0.8, "least_energy": 1.4}, {"wave"}),
    ],
)
def test_actions_equal_the_reference(
    names: tuple[str, ...], settings: dict[str, Any], classes: set[str], tmp_path: Path
) -> None:
    classifier = make_classifier(bins=BINS, **(NETWORKS["subtract"] | TIMES))
    classifier = replace(classifier, config=classifier.config.model_copy(update={"classes": names, **settings}))
    export_classifier(classifier, tmp_path)
    write(tmp_path / "a.raw", draw_stream(0))

    config = ActionConfig(hold_s=0.2, gap_s=0.4)
    timeline = classify(classifier, tmp_path / "a.raw")
    expected: list[Action] = [*find_actions(answer(timeline, names), config)]
    found = [line.split() for line in run_live(tmp_path, tmp_path / "a.raw").stdout.splitlines()]

    assert len(expected) >= 4
    assert {action.class_name for action in expected} == classes
    assert [(float(t_s), label) for t_s, label, _ in found] == [(action.t_s, action.class_name) for action in expected]
    assert [float(p) for _, _, p in found] == pytest.approx([action.probability for action in expected], abs=2e-6)


def test_impossible_events_are_ignored_and_counted(tmp_path: Path) -> None:
    export_classifier(make_classifier(bins=BINS, **(NETWORKS["zero"] | TIMES)), tmp_path)
    (tmp_path / "a.bin").write_bytes(bytes([3, 1, 0, 0, 9, 30, 1, 0, 0, 9, 3, 14, 0, 0, 9, 3, 1, 0, 0, 8]))

    done = run_live(tmp_path, tmp_path / "a.bin")
    assert done.stdout == ""
    assert mentions(done.stderr, "3 events")


def test_settings_have_the_defaults_of_live(tmp_path: Path) -> None:
    export_classifier(make_classifier(bins=BINS, **(NETWORKS["zero"] | TIMES)), tmp_path)
    header = (tmp_path / "dvspipe_live.h").read_text(encoding="utf-8")
    config = ActionConfig()
    assert f"#define DVSPIPE_HOLD_US {round(config.hold_s * 1e6)} " in header
    assert f"#define DVSPIPE_GAP_US {round(config.gap_s * 1e6)} " in header
    assert "#define DVSPIPE_HOP 5 " in header
