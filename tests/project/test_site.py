"""The gallery shows all codes, forms, filters, presets and formats, and one page all presets."""

from __future__ import annotations

import re
from pathlib import Path

from dvspipe.encoding import CODES, FrameConfig
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


def test_gallery_shows_each_code_form_filter_preset_and_format() -> None:
    assert shown("1_encoders") == set(CODES)
    assert shown("2_filters") == set(FilterConfig.model_fields)
    assert shown("3_representations") == {*FrameConfig.model_fields["form"].annotation.__args__, "binary", *PLOTS}
    assert shown("4_presets") == set(list_presets())
    assert shown("5_formats") == set(written_suffixes()) - {".hdf5", ".bs2"}  # other names of .h5 and .bin
