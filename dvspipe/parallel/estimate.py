"""Estimate the remaining time of long work."""

from __future__ import annotations

MIN_SHARE = 0.05
"""Share of the work that must be done before estimating: loading distorts the first part."""


def estimate_left_s(done: float, total: float, spent_s: float, *, begin: float = 0.0) -> float | None:
    """Return the remaining time in seconds at the average speed so far; None if it cannot be estimated yet.

    Args:
        done: Amount of work done, including `begin`.
        total: Amount of work in total; 0 if unknown.
        spent_s: Time since the start in seconds.
        begin: Amount of work that was already done at the start, for example by an earlier run.

    Example:
        >>> estimate_left_s(30, 100, 6.0), estimate_left_s(1, 100, 6.0)
        (14.0, None)
    """
    if total <= 0 or done <= begin or done - begin < MIN_SHARE * total:
        return None
    return (total - done) * max(spent_s, 1e-9) / (done - begin)
