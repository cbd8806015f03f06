"""Errors of faery, whose Rust code also raises what is not an `Exception`."""

from __future__ import annotations

FAERY_ERRORS = (RuntimeError, ValueError, TypeError, OverflowError, MemoryError)


def is_faery_error(error: BaseException) -> bool:
    """Return whether faery raised an error because of its input; a panic of its Rust code is a BaseException."""
    return isinstance(error, FAERY_ERRORS) or type(error).__name__ == "PanicException"
