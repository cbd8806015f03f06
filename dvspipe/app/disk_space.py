"""Errors of a full disk."""

from __future__ import annotations

import errno

DISK_FULL = "the disk is full"


def is_disk_full(error: BaseException) -> bool:
    """Return whether an error, or one of its causes, says that a disk or a quota is full."""
    # Causes can form a circle.
    causes = [error]
    while (cause := causes[-1].__cause__) is not None and cause not in causes:
        causes.append(cause)

    return any(isinstance(failure, OSError) and failure.errno in (errno.ENOSPC, errno.EDQUOT) for failure in causes)
