"""Train a joint network on curves of joints."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from dvspipe.base.progress import Progress, ignore_progress
from dvspipe.people.joints import Float32s, JointClassifier, JointNetwork

LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-2
WARM_UP = 0.15  # share of the steps with a rising learning rate
LABEL_SMOOTHING = 0.1
MAX_DECAY = 0.99  # moving average of the weights


@dataclass(frozen=True, eq=False)
class JointWindows:
    """Windows of joint curves, float32 [N, JOINT_STEPS, CURVES], with labels, int64 [N]; see `sample_curves`."""

    curves: Float32s
    labels: NDArray[np.int64]


DrawBatch = Callable[[np.random.Generator], JointWindows]
"""Draws a batch of training windows."""


def count_correct(joints: JointClassifier, windows: JointWindows) -> int:
    """Return the number of windows that a joint network classifies correctly."""
    with torch.no_grad():
        predicted = joints.network(torch.from_numpy(windows.curves)).argmax(dim=1).numpy()

    return int((predicted == windows.labels).sum())


def train_joints(
    draw: DrawBatch,
    classes: Sequence[str],
    *,
    steps: int,
    weight: float,
    seed: int = 0,
    smoothing: float = LABEL_SMOOTHING,
    progress: Progress = ignore_progress,
) -> JointClassifier:
    """Train a joint network with AdamW and one learning-rate cycle; return the moving average of its weights.

    `steps` is the number of batches, `weight` the weight of the result relative to the event classifier, 0 to 1, and
    `smoothing` the probability that is spread over all classes in the labels.
    """
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    network = JointNetwork(len(classes))
    mean = copy.deepcopy(network)

    optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps, pct_start=WARM_UP)

    for step in range(1, steps + 1):
        batch = draw(rng)
        logits = network(torch.from_numpy(batch.curves))

        labels = torch.from_numpy(batch.labels)
        loss = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=smoothing)

        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()

        # The mean forgets the initial weights soon: in step n, its decay is at most n / (n + 9).
        decay = min(MAX_DECAY, step / (step + 9))
        with torch.no_grad():
            for old, new in zip(mean.state_dict().values(), network.state_dict().values(), strict=True):
                old.copy_(decay * old + (1 - decay) * new if new.is_floating_point() else new)

        progress(step, steps)

    return JointClassifier(mean.eval(), weight, tuple(classes))
