"""Check errors by kind and by the facts in their messages, not by their prose."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest

Error = TypeVar("Error", bound=BaseException)


def mentions(text: str, *facts: object) -> bool:
    """Return whether a text contains all facts. Numbers and words must be complete: 12 is not in 120."""
    for fact in (str(part) for given in facts for part in (given if isinstance(given, tuple) else (given,))):
        left, right = (r"(?<!\w)" * fact[:1].isalnum(), r"(?!\w)" * fact[-1:].isalnum())
        if not re.search(left + re.escape(fact) + right, text):
            return False
    return True


@contextmanager
def raises(kind: type[Error] | tuple[type[Error], ...], *facts: object) -> Iterator[pytest.ExceptionInfo[Error]]:
    """Expect an error whose message contains these facts in any order: file names, numbers, settings."""
    with pytest.raises(kind) as caught:
        yield caught
    assert mentions(str(caught.value), *facts), f"{facts} in {caught.value}"


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings that were logged in a test, and forget them."""
    texts = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    caplog.clear()
    return texts
