"""Fit the pixel model to a recording with frames and events."""

from __future__ import annotations

from pathlib import Path

from ..base.files import check_output
from ..formats import read, read_frames
from ..simulator import Calibration, calibrate_frames


def calibrate(
    recording: str | Path,
    out: str | Path | None = None,
    *,
    overwrite: bool = False,
) -> Calibration:
    """Fit the pixel model to a recording with frames and events.

    For frames and events in memory, see `dvspipe.simulator.calibrate_frames`.

    Args:
        recording: AEDAT 4 file with frames and events of the same sensor.
        out: Sensor preset to write, a YAML file for the option preset of convert. Default: not written.
        overwrite: Replace an existing file.

    Raises:
        DataError: If there are too few frames, events or pixels, as in `calibrate_frames`.
        FileError: If the suffix is wrong, or the output exists or cannot be written.
        DvspipeError: If the file cannot be read.

    Example:
        >>> calibrate("davis.aedat4", "mine.yaml").pos_thres  # doctest: +SKIP
        0.21
    """
    preset = check_output(out, "a sensor preset", ".yaml", ".yml", overwrite=overwrite)
    frames = list(read_frames(recording))
    calibration = calibrate_frames(frames, read(recording))

    if preset is not None:
        calibration.write(preset, comment=f"Fitted to {Path(recording).name}")
    return calibration
