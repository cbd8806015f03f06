"""Errors of faery; panics of its Rust code are not subclasses of `Exception`."""

from __future__ import annotations

FAERY_ERRORS = (RuntimeError, ValueError, TypeError, OverflowError, MemoryError)


def is_faery_error(error: BaseException) -> bool:
    """Return whether an error is one that faery raises for bad input, including `PanicException`, a BaseException."""
    return isinstance(error, FAERY_ERRORS) or type(error).__name__ == "PanicException"
