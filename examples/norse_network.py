"""Train your own Norse network, as Norse runs it and fused: `python examples/norse_network.py`.

Both start with the same weights and train on the same batches of rendered clips. The accuracies are equal. Only the
time differs: `fuse` computes all steps of a layer in one scan, Norse calls its neurons step by step.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import norse.torch as norse
import numpy as np
import torch
from torch import nn

import dvspipe
from dvspipe import ConvertConfig, TrainConfig
from dvspipe.networks import fuse
from dvspipe.results import TrainingRun

HEIGHT, WIDTH, STEPS, STEP_US = 18, 24, 20, 10_000
TAU_S, TAU_READOUT_S = 0.04, 0.1
HIDDEN = 48
CLASSES = ("down", "left", "right")


def render(label: str, rng: np.random.Generator) -> dvspipe.Events:
    """Return the events of a bar that moves for 200 ms from a random position at a random speed."""
    rows, columns = np.indices((HEIGHT, WIDTH))
    place, length = (rows, HEIGHT) if label == "down" else (columns, WIDTH)
    moved = rng.uniform(0.2, 0.4) * length + rng.uniform(0.6, 0.9) * np.linspace(-0.3, 0.5, 25) * length
    if label == "left":
        moved = length - 1 - moved
    frames = 60 + 150 * np.exp(-((place - moved[:, None, None]) ** 2) / 4)
    return dvspipe.events_from_video(frames.astype(np.uint8), ConvertConfig(fps=125))


def write_clips(folder: Path) -> None:
    """Write labelled recordings: per class 16 for training and 8 for the test."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 16), ("test", 8)):
        for label in CLASSES:
            for number in range(count):
                dvspipe.write(folder / part / label / f"{number:02}.h5", render(label, rng))


def norse_network() -> norse.SequentialState:
    """Build a network of Norse's modules with a time axis."""
    dt = STEP_US * 1e-6
    neurons = norse.LIFParameters(tau_mem_inv=torch.tensor(1 / TAU_S), tau_syn_inv=torch.tensor(1 / TAU_S))
    readout = norse.LIParameters(tau_mem_inv=torch.tensor(1 / TAU_READOUT_S))
    torch.manual_seed(0)
    return norse.SequentialState(
        nn.Flatten(2),
        nn.Linear(2 * HEIGHT * WIDTH, HIDDEN),
        norse.LIF(neurons, dt=dt),
        nn.Linear(HIDDEN, len(CLASSES)),
        norse.LI(readout, dt=dt),
    )


def main() -> None:
    """Train both networks; print their test accuracies and the time per epoch."""
    config = TrainConfig(jobs=1, steps=STEPS, step_us=STEP_US, epochs=5, batch=8, learning_rate=0.005)
    networks = {"Norse": norse_network(), "fused": fuse(norse_network())}

    runs: dict[str, TrainingRun] = {}
    with tempfile.TemporaryDirectory() as name:
        write_clips(Path(name, "clips"))
        for kind, network in networks.items():
            runs[kind] = dvspipe.train(Path(name, "clips"), config, Path(name, kind), network=network)

    print("network    test accuracy   loss of the last epoch   median seconds of an epoch")
    for kind, run in runs.items():
        seconds = statistics.median(row.seconds for row in run.epochs)
        print(f"{kind:8} {run.test.accuracy:12.1%} {run.epochs[-1].train_loss:20.4f} {seconds:24.2f}")
    assert runs["Norse"].test.accuracy == runs["fused"].test.accuracy


if __name__ == "__main__":
    main()
