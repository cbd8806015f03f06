from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

from dvspipe.base.errors import DvspipeError, EventError


def kinds(kind: type[DvspipeError] = DvspipeError) -> Iterator[type[DvspipeError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from kinds(below)


@pytest.mark.parametrize("kind", list(kinds()), ids=lambda kind: kind.__name__)
def test_every_error_can_be_pickled(kind: type[DvspipeError]) -> None:
    more = {EventError: {"is_unsorted": True}}
    error = kind("a.h5: wrong", **more.get(kind, {})).named("b")  # type: ignore[arg-type]
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), str(back), vars(back)) == (kind, str(error), vars(error))
