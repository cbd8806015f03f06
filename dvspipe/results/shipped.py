"""Record of an included classifier, the source of its model card."""

from __future__ import annotations

from .tables import Record


class ShippedScore(Record):
    """Score of an included classifier on recordings outside its training data."""

    data: str
    """The recordings, as a phrase that follows "tested on"."""
    correct: int
    """Number of correct predictions."""
    samples: int
    """Number of recordings."""


class ShippedRecord(Record):
    """Purpose, data, scores and limits of an included classifier."""

    about: str
    """Purpose of the classifier."""
    data: str
    """Training recordings."""
    commands: tuple[str, ...]
    """Commands that trained it."""
    date: str
    """Date as YEAR-MONTH-DAY."""
    scores: tuple[ShippedScore, ...]
    """Scores, one per kind of recordings."""
    limits: tuple[str, ...]
    """Limits of the scores, one or more sentences each."""
