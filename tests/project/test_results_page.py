"""docs/results.md lists every model of dvspipe.results, and says what their docstrings say."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from dvspipe import results
from dvspipe.results import Record, Row, Scores


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "scripts" / "docs")
    import results_page

    return results_page


def models() -> list[type[Record]]:
    found = (getattr(results, name) for name in results.__all__)
    return [kind for kind in found if isinstance(kind, type) and issubclass(kind, Record)]


def test_the_page_is_what_the_models_say(script: ModuleType) -> None:
    assert script.PAGE.read_text(encoding="utf-8") == script.render(), "run python scripts/docs/results_page.py"


@pytest.mark.parametrize("model", [kind for kind in models() if kind not in (Record, Row, Scores)])
def test_every_field_of_every_model_is_on_the_page(model: type[Record], script: ModuleType) -> None:
    """Read from the page alone, so that a model that the script leaves out is missed."""
    section = script.PAGE.read_text(encoding="utf-8").partition(f"\n### {model.__name__}\n")[2].partition("\n##")[0]
    listed = [line.split("|")[1].strip(" `") for line in section.splitlines() if line.startswith("| `")]
    stored = {name: field for name, field in model.model_fields.items() if not field.exclude}
    names = [field.serialization_alias or name for name, field in stored.items()]
    assert listed == [*names, *model.model_computed_fields]
    meanings = [line.rpartition(" | ")[2].strip(" |") for line in section.splitlines() if line.startswith("| `")]
    assert all(meanings)
