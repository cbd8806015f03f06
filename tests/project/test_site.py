"""The site has a page or a script for what there is."""

from __future__ import annotations

import importlib
import types
from pathlib import Path

import pytest

import dvspipe
from dvspipe.cli.app import app
from dvspipe.encoding import CODES, BinConfig
from dvspipe.events.filters import FilterConfig
from dvspipe.formats import written_suffixes

ROOT = Path(__file__).parents[2]
GALLERY = ROOT / "docs" / "gallery"


def scripts(section: str) -> set[str]:
    return {path.stem.removeprefix("plot_") for path in (GALLERY / section).glob("plot_*.py")}


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    monkeypatch.syspath_prepend(ROOT / "scripts" / "docs")
    return importlib.import_module("site_pages")


def test_the_gallery_has_a_script_for_each_code_form_filter_and_preset() -> None:
    codes = scripts("1_encoders")
    assert codes == {*CODES, "contrast"}, f"add to docs/gallery/1_encoders: {set(CODES) - codes}"
    assert scripts("2_filters") == {name.removesuffix("_us") for name in FilterConfig.model_fields} | {"hot_pixels"}
    assert scripts("3_representations") >= set(BinConfig.model_fields["form"].annotation.__args__)
    assert scripts("4_presets") == {path.stem for path in (ROOT / "configs" / "sensors").glob("*.yaml")}


def test_the_gallery_writes_every_format() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (GALLERY / "5_formats").glob("plot_*.py")]
    for suffix in set(written_suffixes()) - {".hdf5", ".bs2"}:  # other names of .h5 and .bin
        assert any(f'"recording{suffix}"' in text for text in texts), suffix


def test_every_public_name_is_on_a_page(pages: types.ModuleType) -> None:
    assert {name for area in pages.AREAS.values() for name in area.names} >= set(dvspipe.__all__)  # type: ignore[attr-defined]


def test_every_command_is_on_the_page_of_commands(pages: types.ModuleType) -> None:
    text = pages.command_page()
    for command in app.registered_commands:
        assert f"## `dvspipe {command.name}`" in text
