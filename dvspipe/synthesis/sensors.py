"""The sensor of a clip: a DVS128 whose biases, noise and habits of reading events out are drawn anew each time.

A DVS128's recordings hold more than the crossings of its thresholds. In three clips of DVS128 Gesture, a sixth of the
events of one polarity (that of bit 1) is read up to nine times within 2 us; 20 to 24 % of them are answered by an event
of the other polarity 0.15 to 0.9 ms later, a quarter of these answers by one of the first polarity 0.4 to 1.1 ms later,
and half of those again; events of the other polarity by themselves are answered in 3 to 5 %.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..config import build
from ..events import Events
from ..simulator import SimulatorConfig, read_preset

THRESHOLDS = (0.14, 0.28)  # the middle of ON and OFF, in ln I
_ROUNDS = 3  # of answers to answers


@dataclass(frozen=True)
class Readout:
    """How a sensor answers its own events and reads them out.

    Args:
        answering: The polarity that is answered and repeated.
        repeated: Share of its events that are read more than once.
        again: Of those read once more, the share read yet once more.
        answered: Share of its events that the other polarity answers.
        answers_answered: Share of these answers that are answered in turn.
        others_answered: Share of the other polarity's own events that are answered.
    """

    answering: bool
    repeated: float
    again: float
    answered: float
    answers_answered: float
    others_answered: float


def draw_sensor(rng: np.random.Generator) -> tuple[SimulatorConfig, Readout]:
    """A sensor for a clip: the preset `dvs128` with thresholds, bandwidth and noise of its own."""
    middle, apart = np.exp(rng.uniform(*np.log(THRESHOLDS))), np.exp(rng.normal(0.0, 0.08))
    settings = read_preset("dvs128") | {
        "pos_thres": float(middle * apart),
        "neg_thres": float(middle / apart),
        "sigma_thres": float(middle * rng.uniform(0.06, 0.2)),
        "cutoff_hz": float(np.exp(rng.uniform(np.log(100), np.log(1000)))),
        "leak_rate_hz": float(np.exp(rng.uniform(np.log(0.01), np.log(0.1)))),
        "shot_noise_rate_hz": float(np.exp(rng.uniform(np.log(0.04), np.log(0.4)))),
        "refractory_period": rng.uniform(0.0003, 0.0008),
        "seed": int(rng.integers(2**31)),
    }
    readout = Readout(
        answering=bool(rng.random() < 0.5),  # which polarity it is depends on how the bit is read
        repeated=rng.uniform(0.0, 0.22),
        again=rng.uniform(0.4, 0.6),
        answered=rng.uniform(0.05, 0.35),
        answers_answered=rng.uniform(0.1, 0.4),
        others_answered=rng.uniform(0.0, 0.08),
    )
    return build(SimulatorConfig, settings, "sensor"), readout


def read_out(events: Events, readout: Readout, rng: np.random.Generator) -> Events:
    """The events with answers and repetitions, in the order of time; those that come after the last event are lost."""
    if not len(events):
        return events
    source, t, first = np.arange(len(events)), events.t, events.p == readout.answering
    sources, times, firsts = [source], [t], [first]
    share_first, share_other = readout.answered, readout.others_answered
    for _ in range(_ROUNDS):
        answered = rng.random(len(t)) < np.where(first, share_first, share_other)
        source, t, first = source[answered], t[answered], first[answered]
        shortest_us, mean_us = np.where(first, 150, 400), np.where(first, 250, 350)
        t, first = t + (shortest_us + rng.exponential(mean_us)).astype(np.int64), ~first
        sources, times, firsts = [*sources, source], [*times, t], [*firsts, first]
        share_first, share_other = 2 * readout.answers_answered, readout.answers_answered
    source, t, first = (np.concatenate(parts) for parts in (sources, times, firsts))
    copies = np.ones(len(t), np.int64)
    copies[first & (rng.random(len(t)) < readout.repeated)] = 2
    more = copies == 2
    copies[more] += rng.geometric(1 - readout.again, more.sum()) - 1
    return _gather(events, source, t, first == readout.answering, copies)


def _gather(
    events: Events, source: NDArray[np.int64], t: NDArray[np.int64], on: NDArray[np.bool_], copies: NDArray[np.int64]
) -> Events:
    """Events at the pixels of others, at these times, each so many times within 2 us."""
    each = np.repeat(np.arange(len(t)), copies)
    number = np.arange(len(each)) - np.repeat(np.cumsum(copies) - copies, copies)
    t = t[each] + np.minimum(number, 2)
    kept = np.flatnonzero(t <= events.t[-1])
    order = kept[np.argsort(t[kept], kind="stable")]
    pixel = source[each[order]]
    return Events(t[order], events.x[pixel], events.y[pixel], on[each[order]], events.sensor)
