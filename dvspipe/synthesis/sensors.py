"""Sensor of a clip: a DVS128 with random biases, noise and readout.

Recordings of a DVS128 contain more events than threshold crossings. In three clips of DVS128 Gesture:

- One sixth of the events of one polarity (bit 1) is read up to nine times within 2 us.
- 20 to 24 % of the events of this polarity have an echo: an event of the other polarity 0.15 to 0.9 ms later.
- A quarter of these echoes have an echo of the first polarity 0.4 to 1.1 ms later; half of these echoes have another.
- 3 to 5 % of the original events of the other polarity have an echo.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ..events import Events
from ..simulator import SimulatorConfig

THRESHOLDS = (0.14, 0.28)  # range of the geometric mean of ON and OFF, in ln I
SCATTER_PX = 5.0  # standard deviation of the distance to the event
SCATTER_US = 2000  # maximum time after the event
_ECHO_DEPTH = 3  # depth of echoes of echoes


@dataclass(frozen=True)
class Readout:
    """Readout artifacts of a sensor: repeated events, and echoes of the other polarity.

    Args:
        main_polarity: Polarity whose events are repeated and have most of the echoes.
        repeated_share: Fraction of events of the main polarity that are read more than once.
        repeated_again_share: Fraction of repeated events that are read once more, and so on.
        echo_share: Fraction of events of the main polarity that have an echo.
        echo_echo_share: Fraction of these echoes that have an echo.
        other_echo_share: Fraction of original events of the other polarity that have an echo.
        scatter_share: Fraction of all events with another event of random polarity at a nearby pixel, as seen around
            fast limbs; this fraction and SCATTER_PX are guesses.
    """

    main_polarity: bool
    repeated_share: float
    repeated_again_share: float
    echo_share: float
    echo_echo_share: float
    other_echo_share: float
    scatter_share: float = 0.0


@cache
def _read_dvs128() -> SimulatorConfig:
    return SimulatorConfig().with_preset("dvs128")  # cached: takes 3 ms


def draw_sensor(rng: np.random.Generator) -> tuple[SimulatorConfig, Readout]:
    """Draw a sensor: the preset `dvs128` with random thresholds, bandwidth and noise, and a random readout."""
    middle = np.exp(rng.uniform(*np.log(THRESHOLDS)))
    apart = np.exp(rng.normal(0.0, 0.08))
    settings = _read_dvs128().given | {
        "pos_thres": float(middle * apart),
        "neg_thres": float(middle / apart),
        "sigma_thres": float(middle * rng.uniform(0.06, 0.2)),
        "cutoff_hz": float(np.exp(rng.uniform(np.log(100), np.log(1000)))),
        "leak_rate_hz": float(np.exp(rng.uniform(np.log(0.01), np.log(0.1)))),
        "shot_noise_rate_hz": float(np.exp(rng.uniform(np.log(0.04), np.log(0.4)))),
        "refractory_period": rng.uniform(0.0003, 0.0008),
        "sensor_seed": int(rng.integers(2**31)),
    }

    readout = Readout(
        main_polarity=bool(rng.random() < 0.5),  # depends on the interpretation of the polarity bit
        repeated_share=rng.uniform(0.0, 0.22),
        repeated_again_share=rng.uniform(0.4, 0.6),
        echo_share=rng.uniform(0.05, 0.35),
        echo_echo_share=rng.uniform(0.1, 0.4),
        other_echo_share=rng.uniform(0.0, 0.08),
        scatter_share=rng.uniform(0.0, 0.08) if rng.random() < 0.5 else 0.0,
    )

    return SimulatorConfig(**settings), readout


def read_out(events: Events, readout: Readout, rng: np.random.Generator) -> Events:
    """Add echoes and repetitions to events. The result is sorted by time, without events after the last input event."""
    if not len(events):
        return events

    source = np.arange(len(events))
    t = events.t
    first = events.p == readout.main_polarity
    sources = [source]
    times = [t]
    firsts = [first]

    share_first = readout.echo_share
    share_other = readout.other_echo_share

    # The echoes of the last round answer with echoes of their own, in the shares and delays at the top of this module.
    for _ in range(_ECHO_DEPTH):
        answered = rng.random(len(t)) < np.where(first, share_first, share_other)
        source = source[answered]
        t = t[answered]
        first = first[answered]

        # Delays of 0.15 to 0.9 ms and of 0.4 to 1.1 ms: a shortest one, and an exponential part.
        shortest_us = np.where(first, 150, 400)
        mean_us = np.where(first, 250, 350)
        t = t + (shortest_us + rng.exponential(mean_us)).astype(np.int64)
        first = ~first
        sources = [*sources, source]
        times = [*times, t]
        firsts = [*firsts, first]

        # An echo of an echo has the main polarity again, and is answered twice as often: a half instead of a quarter.
        share_first = 2 * readout.echo_echo_share
        share_other = readout.echo_echo_share

    source, t, first = (np.concatenate(parts) for parts in (sources, times, firsts))

    # A repeated event is read twice, and again with a probability that does not depend on how often already.
    copies = np.ones(len(t), np.int64)
    copies[first & (rng.random(len(t)) < readout.repeated_share)] = 2
    more = copies == 2
    copies[more] += rng.geometric(1 - readout.repeated_again_share, more.sum()) - 1

    return _scatter(
        _repeat_events(events, source, t, first == readout.main_polarity, copies), readout.scatter_share, rng
    )


def _scatter(events: Events, share: float, rng: np.random.Generator) -> Events:
    """Add events near a random share of the events."""
    chosen = np.flatnonzero(rng.random(len(events)) < share)
    away = rng.normal(0, SCATTER_PX, (2, len(chosen))).round().astype(np.int64)

    t = events.t[chosen] + rng.integers(0, SCATTER_US, len(chosen))
    x = events.x[chosen] + away[0]
    y = events.y[chosen] + away[1]

    # Events cannot leave the picture or outlast the recording.
    inside = (x >= 0) & (x < events.sensor.width) & (y >= 0) & (y < events.sensor.height) & (t <= events.t[-1])
    t, x, y = (np.concatenate([old, new[inside]]) for old, new in ((events.t, t), (events.x, x), (events.y, y)))
    p = np.concatenate([events.p, rng.random(inside.sum()) < 0.5])

    order = np.argsort(t, kind="stable")
    return Events(t[order], x[order], y[order], p[order], events.sensor)


def _repeat_events(
    events: Events, source: NDArray[np.int64], t: NDArray[np.int64], on: NDArray[np.bool_], copies: NDArray[np.int64]
) -> Events:
    """Create events at the pixels of the events `source`, at times t, each repeated within 2 us."""
    event = np.repeat(np.arange(len(t)), copies)

    # Copies of an event are numbered 0, 1, 2, ...; all after the second have the same time.
    number = np.arange(len(event)) - np.repeat(np.cumsum(copies) - copies, copies)
    t = t[event] + np.minimum(number, 2)
    in_time = np.flatnonzero(t <= events.t[-1])

    order = in_time[np.argsort(t[in_time], kind="stable")]
    pixel = source[event[order]]

    return Events(t[order], events.x[pixel], events.y[pixel], on[event[order]], events.sensor)
