"""Fit the pixel model to a recording with frames and events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..base.errors import FormatError
from ..base.files import check_output
from ..formats import read
from ..simulator import Calibration, calibrate_frames
from ..video.frames import Frame


def calibrate(
    recording: str | Path,
    out: str | Path | None = None,
    *,
    log_offset: float | None = None,
    refine: bool = True,
    overwrite: bool = False,
) -> Calibration:
    """Fit the pixel model to a recording with frames and events.

    For frames and events in memory, see `dvspipe.simulator.calibrate_frames`.

    Args:
        recording: AEDAT 4 file with frames and events of the same sensor.
        out: Sensor preset to write, a YAML file for the option preset of convert. Default: not written.
        log_offset: Epsilon in L = ln(I + epsilon), if known. Default: fitted, too.
        refine: Refine the thresholds until a simulation of the frames has as many ON and OFF events as the recording.
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
    events = read(recording)
    calibration = calibrate_frames(list(read_frames(recording)), events, log_offset=log_offset, refine=refine)

    if preset is not None:
        calibration.write(preset, comment=f"Fitted to {Path(recording).name}")
    return calibration


def read_frames(path: str | Path) -> Iterator[Frame]:
    """Read the greyscale frames of a DAVIS camera from an AEDAT 4 file, at the middle of their exposures."""
    from faery import aedat

    with aedat.Decoder(path) as decoder:
        for track, packet in decoder:
            if track.data_type == "frame":
                if packet.format not in ("L", "I;16"):
                    raise FormatError(f"{path}: wrong format of a frame (found {packet.format}, expected greyscale)")
                begin_us = packet.exposure_start_t
                end_us = packet.exposure_end_t
                t_us = (begin_us + end_us) // 2 if 0 < begin_us <= end_us else packet.t
                yield Frame(t_us, packet.pixels, "linear")
