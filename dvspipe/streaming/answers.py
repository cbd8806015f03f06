"""Predictions of a live stream."""

from __future__ import annotations

from ..results import Basis
from ..results.tables import Record


class LiveAnswer(Record):
    """A line of `dvspipe live --json`: the prediction at one time."""

    t_us: int
    """Time of the prediction on the clock of the stream, in microseconds: end of its last time step."""
    label: int | None = None
    """Most probable class; null if there were no events for a second."""
    class_name: str | None = None
    """Name of this class; null without one."""
    probability: float = 0.0
    """Probability of this class, 0 to 1."""
    certain: bool = False
    """Whether the probability reaches `enter`, and the input resembles the training data."""
    probabilities: tuple[float, ...]
    """Probabilities of all classes."""
    events_per_s: float = 0.0
    """Events per second on the network's sensor, in the last second."""
    dropped: int = 0
    """Chunks dropped so far because the machine was too slow."""
    skipped_us: int = 0
    """Time of the stream skipped so far because the machine was too slow, in microseconds."""
    basis: Basis = "events"
    """What the probabilities come from: events, or also the joints of the person in a video."""
    latency_us: int = 0
    """Time from the end of the last time step until the prediction was known, in microseconds."""
