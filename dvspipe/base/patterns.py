"""Regular expressions of settings that are text, and their readable forms."""

from __future__ import annotations

from collections.abc import Mapping

NAME_PATTERN = r"^\w[\w.-]*$"
SIZE_PATTERN = r"^\d+x\d+$"
SENSOR_PATTERN = r"^(keep|\d+x\d+)$"
REGION_PATTERN = r"^\d+x\d+\+\d+\+\d+$"
ROI_PATTERN = r"^(auto|full|\d+x\d+[+-]\d+[+-]\d+)$"
TARGET_PATTERN = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"
PATTERNS: Mapping[str, str] = {
    NAME_PATTERN: "a name of letters, digits, '_', '.' and '-'",
    SIZE_PATTERN: "WIDTHxHEIGHT, such as 346x260",
    SENSOR_PATTERN: "WIDTHxHEIGHT, such as 346x260, or keep",
    REGION_PATTERN: "WIDTHxHEIGHT+LEFT+TOP, such as 128x128+20+10",
    ROI_PATTERN: "WIDTHxHEIGHT+LEFT+TOP, such as 128x128+20+10, auto or full",
    TARGET_PATTERN: "PACKAGE.MODULE:NAME, such as my_package.nets:make_net",
}
"""Readable form of each regular expression; pydantic's own messages show the expression."""
