"""The record of an adaptation: how far batch norms moved, and how predictions changed."""

from __future__ import annotations

from .tables import Record


class NormShift(Record):
    """How far an adaptation moved a batch norm, over its channels."""

    name: str
    """`norm1`, `norm2`, ... from the input to the output."""
    mean: float
    """Root mean square of the changes of the means, in standard deviations of the checkpoint."""
    deviation: float
    """Root mean square of the changes of the standard deviations, likewise."""


class AdaptationRecord(Record):
    """What a checkpoint was adapted to, and what changed."""

    checkpoint: str
    """The checkpoint, as it was given."""
    network: str
    """SHA-256 of its configuration and weights."""
    strength: float
    """The strength that was asked for, 0 to 1."""
    applied: float
    """The strength that was applied: less, if few classes were predicted."""
    recordings: int
    """Number of recordings that windows were taken from."""
    skipped: int
    """Number of recordings that could not be used."""
    windows: int
    """Number of windows that were not quiet."""
    used: int
    """Number of windows that the statistics were estimated on, a random part of them."""
    classes: tuple[str, ...]
    """Names of the classes."""
    before: tuple[int, ...]
    """Number of the windows used that were predicted as each class before the adaptation."""
    after: tuple[int, ...]
    """The same after it."""
    norms: tuple[NormShift, ...]
    """How far each batch norm moved."""
    versions: dict[str, str]
    """Versions of dvspipe and of the libraries that decide its results."""
