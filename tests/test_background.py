from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from dvspipe.background import read_ahead
from dvspipe.errors import VideoError


def test_reading_ahead_keeps_order_and_raises_the_makers_error() -> None:
    assert list(read_ahead(range(100), 8)) == list(range(100))

    def breaks() -> Iterator[int]:
        yield 1
        raise VideoError("broken")

    items = read_ahead(breaks(), 8)
    assert next(items) == 1
    with pytest.raises(VideoError, match="broken"):
        next(items)


def test_reading_ahead_ends_its_thread_when_left_early() -> None:
    before = threading.active_count()
    items = read_ahead(iter(int, 1), 8)  # endless
    assert next(items) == 0
    items.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
