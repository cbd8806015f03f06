"""The time that long work still needs."""

from __future__ import annotations

MIN_SHARE = 0.05
"""Part of the work before which the time left is not estimated: loading and compiling take part of the time."""


def estimate_left_s(done: float, total: float, spent_s: float, *, begin: float = 0.0) -> float | None:
    """Return the time left in seconds if work continues at its average speed; None if it cannot be estimated.

    Args:
        done: How much is done.
        total: How much there is, 0 if unknown.
        spent_s: Time since the beginning in seconds.
        begin: How much was done at the beginning, such as by an earlier run.

    Example:
        >>> estimate_left_s(30, 100, 6.0), estimate_left_s(1, 100, 6.0)
        (14.0, None)
    """
    if total <= 0 or done <= begin or done - begin < MIN_SHARE * total:
        return None
    return (total - done) * max(spent_s, 1e-9) / (done - begin)
