"""Record of an adaptation: shift of batch norms and change of predictions."""

from __future__ import annotations

from .tables import Record


class NormShift(Record):
    """Shift of a batch norm by an adaptation, over its channels."""

    name: str
    """`norm1`, `norm2`, ... from the input to the output."""
    mean: float
    """Root mean square change of the means, in standard deviations of the checkpoint."""
    deviation: float
    """Root mean square change of the standard deviations, in the same unit."""


class AdaptationRecord(Record):
    """Result of adapting a checkpoint to recordings."""

    checkpoint: str
    """Checkpoint, as given."""
    network: str
    """SHA-256 of the checkpoint's configuration and weights."""
    strength: float
    """Requested strength, 0 to 1."""
    applied: float
    """Applied strength; lower than requested if few classes were predicted."""
    recordings: int
    """Number of recordings that provided windows."""
    skipped: int
    """Number of recordings that could not be used."""
    windows: int
    """Number of windows with enough events."""
    used: int
    """Number of windows used to estimate the statistics, chosen at random."""
    classes: tuple[str, ...]
    """Names of the classes."""
    before: tuple[int, ...]
    """Predictions per class for the windows used, before the adaptation."""
    after: tuple[int, ...]
    """Predictions per class for the windows used, after the adaptation."""
    norms: tuple[NormShift, ...]
    """Shift of each batch norm."""
    versions: dict[str, str]
    """Versions of dvspipe and of the libraries that affect its results."""
