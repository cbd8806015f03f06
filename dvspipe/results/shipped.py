"""The record of a classifier that comes with dvspipe, from which its model card is made."""

from __future__ import annotations

from .tables import Record


class ShippedScore(Record):
    """How a shipped classifier did on recordings that it was not trained on."""

    data: str
    """The recordings, to be read after "tested on"."""
    correct: int
    """Number of right predictions."""
    samples: int
    """Number of recordings."""


class ShippedRecord(Record):
    """What the weights of a shipped classifier do not say: its purpose, its data, its scores and its limits."""

    about: str
    """What it classifies."""
    data: str
    """The recordings that it was trained on."""
    commands: tuple[str, ...]
    """The commands that made it."""
    date: str
    """When, as YEAR-MONTH-DAY."""
    scores: tuple[ShippedScore, ...]
    """One for each kind of recordings."""
    limits: tuple[str, ...]
    """What the scores do not show, a sentence or more each."""
