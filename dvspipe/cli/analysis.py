"""Commands `calibrate` and `view`: measure and show recordings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.texts import show_name
from ..verbs import inspection
from .commands import takes
from .screen import print_parts, progress, screen

if TYPE_CHECKING:
    pass


@takes(inspection.calibrate)
def calibrate(recording: Path, out: Path, **given: Any) -> None:
    with progress():
        calibration = inspection.calibrate(recording, out, **given)

    print_parts(*calibration.describe())
    screen.print(
        f"{show_name(out)}: sensor preset; use it with dvspipe convert VIDEO -o EVENTS.h5 --preset {show_name(out)}"
    )
