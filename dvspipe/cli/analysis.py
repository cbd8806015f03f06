"""Commands `calibrate` and `view`: measure and show recordings."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..base.errors import ConfigError
from ..base.files import claim_output, require_suffix
from ..verbs import inspection
from .commands import takes
from .options import Overwrite
from .screen import TextTable, notes, progress, screen, show_name, warn

if TYPE_CHECKING:
    from ..formats import Recording

CALIBRATED = {
    "pos_thres": "ON threshold in log intensity",
    "neg_thres": "OFF threshold in log intensity",
    "sigma_thres": "standard deviation of thresholds between pixels",
    "leak_rate_hz": "leak events per pixel and second",
    "shot_noise_rate_hz": "shot noise events per pixel and second in darkness",
    "log_offset": "epsilon of ln(intensity + epsilon)",
    "transfer": "transfer curve of these frames; a property of the video, so only a comment in the file",
    "refined": "whether simulations adjusted the thresholds to match the number of events",
    "correlation": "correlation of brightness changes and events; best: 1",
    "simulated_correlation": "correlation of simulated and recorded events; best: 1",
    "rate_ratio": "simulated / recorded events; best: 1",
    "on_off_ratio": "simulated ON/OFF ratio / recorded ON/OFF ratio; best: 1",
    "pixels": "number of pixels with fitted thresholds",
    "intervals": "number of frame intervals",
}
"""Description of each value of a calibration."""


@takes(inspection.calibrate)
def calibrate(
    recording: Path,
    out: Annotated[Path, Parameter(help="Sensor preset to write, a YAML file for dvspipe convert --preset.")],
    *,
    overwrite: Overwrite = False,
    **given: Any,
) -> None:
    require_suffix(out, "a sensor preset", ".yaml", ".yml")
    claim_output(out, overwrite=overwrite)
    with progress():
        calibration = inspection.calibrate(recording, **given)
    calibration.write(out, comment=f"Fitted by dvspipe calibrate to {recording.name}")

    table = TextTable()
    for name, value in asdict(calibration).items():
        table.add_row(name, f"{value:.6g}" if isinstance(value, float) else str(value), CALIBRATED[name])
    screen.print(table)

    screen.print(
        f"{show_name(out)}: sensor preset; use it with dvspipe convert VIDEO -o EVENTS.h5 --preset {show_name(out)}"
    )


@takes(inspection.view)
def view(recording: Path, **given: Any) -> None:
    _refuse_video(recording)
    with progress() as show:
        shown = inspection.view(recording, **given, progress=partial(show, "view"))

    # Only a chart of the rate shows what the note explains.
    if not shown.extent.events:
        warn(f"{recording}: has no events to show")
    elif given.get("chart") == "rate":
        _note_frames(shown.part.recording)

    where = "rerun viewer" if shown.out is None else show_name(shown.out)
    name = show_name(recording.name)
    what = "region" if "region" in given else "sensor"
    screen.print(f"{where}: {name}, {what} {shown.part.sensor}")


def _note_frames(recording: Recording) -> None:
    """Explain changes of the event rate at each frame, for recordings converted without upsampling.

    A pixel that reverses at a frame has no events until it has crossed a complete threshold. With textures that move by
    several pixels per frame, the rate just after a frame is a quarter of the rate before it.
    """
    settings = recording.attributes.get("settings")
    if isinstance(settings, dict) and settings.get("upsample") == "off":
        notes.print(
            "The event rate can drop after each frame of the video and rise until the next one, because many pixels "
            "reverse at a frame; dvspipe convert --upsample auto interpolates fast motion."
        )


def _refuse_video(file: Path) -> None:
    """Reject videos; the error contains the command to convert the video and write a preview."""
    from ..recordings.conversion import is_video
    from ..video.names import camera_of

    if file.exists() and camera_of(file) is None and is_video(file):
        command = shlex.join(["dvspipe", "convert", str(file), "-o", str(file.with_suffix(".h5")), "--preview"])
        raise ConfigError(f"{file}: is a video, not an event recording; convert it first: {command}")
