"""docs/reference/results.md lists every model of dvspipe.results, and says what their docstrings say."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "scripts" / "docs")
    import results_page

    return results_page


def test_the_page_is_what_the_models_say(script: ModuleType) -> None:
    assert script.PAGE.read_text(encoding="utf-8") == script.render(), "run python scripts/docs/results_page.py"
