"""The site documents all commands, public names, codes, forms, filters, presets and formats."""

from __future__ import annotations

import importlib
import re
import types
from pathlib import Path

import pytest

from dvspipe.cli.app import app
from dvspipe.encoding import CODES, BinConfig
from dvspipe.events.filter_config import FilterConfig
from dvspipe.formats import written_suffixes
from dvspipe.report import PLOTS
from dvspipe.simulator.config import list_presets

ROOT = Path(__file__).parents[2]
GALLERY = ROOT / "docs" / "gallery"


def shown(section: str) -> set[str]:
    """Names that are described in the docstrings of a section and used in its code."""
    names = set()
    for path in (GALLERY / section).glob("plot_*.py"):
        _, docstring, code = path.read_text(encoding="utf-8").split('"""', 2)
        names |= {name for name in re.findall(r"^``(.+?)``", docstring, re.MULTILINE) if name in code}
    return names


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    monkeypatch.syspath_prepend(ROOT / "scripts" / "docs")
    return importlib.import_module("site_pages")


def test_gallery_shows_each_code_form_filter_preset_and_format() -> None:
    assert shown("1_encoders") == set(CODES)
    assert shown("2_filters") == {*FilterConfig.model_fields, "hot_pixels"}
    assert shown("3_representations") == {*BinConfig.model_fields["form"].annotation.__args__, *PLOTS}
    assert shown("4_presets") == set(list_presets())
    assert shown("5_formats") == set(written_suffixes()) - {".hdf5", ".bs2"}  # other names of .h5 and .bin


def test_every_public_name_is_on_one_page(pages: types.ModuleType) -> None:
    names = [name for area in pages.AREAS.values() for name in area.names]
    assert len(names) == len(set(names))
    assert set(names) >= pages.public_names()


def test_notebooks_fold_the_answers_of_all_lessons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "scripts" / "docs")
    notebooks = importlib.import_module("site_notebooks")
    lessons = sorted((ROOT / "docs" / "lessons").glob("plot_*.py"))
    assert lessons
    for lesson in lessons:
        exercise = lesson.read_text(encoding="utf-8").split("# Exercise\n")[1]
        text = notebooks.prepare_text(re.sub(r"^# ?", "", exercise, flags=re.MULTILINE))
        answer = text.partition("<summary>Answer</summary>\n\n")[2].partition("\n\n</details>\n\n")[0]
        assert ".. code-block:: pycon\n\n   >>> " in answer, lesson.name
        assert answer.endswith(exercise.rpartition("#       ")[2].partition("\n")[0]), lesson.name
        assert ":doc:" not in text


def test_every_class_and_function_of_a_room_is_on_a_page(pages: types.ModuleType) -> None:
    text = "\n".join(pages.api_pages().values())
    assert {"streaming.LiveSession", "rules.RMaxProp", "networks.LIF"} <= {
        name for area in pages.AREAS.values() for room in area.rooms for name in pages.room_names(room)
    }
    for area in pages.AREAS.values():
        for room in area.rooms:
            for name in pages.room_names(room):
                assert re.search(rf"auto\w+:: [\w.]+\.{name.rpartition('.')[2]}\n", text), name


def test_every_command_is_on_the_command_page(pages: types.ModuleType) -> None:
    text = pages.command_page()
    for name in (each for each in app if each[0] != "-"):
        assert re.search(rf"^## dvspipe {name}$", text, re.MULTILINE), name
