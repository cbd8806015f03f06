"""Command `convert`: convert videos and recordings to event files."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.text import Text

from ..base.errors import ConfigError, DvspipeError, FileError
from ..hooks import find_function
from ..recordings.config import RECORDING_SETTINGS, ConversionSettings
from ..verbs.conversion import build_settings
from ..verbs.conversion import convert as verb
from .activity import ShownStage, ShowProgress
from .commands import takes
from .options import (
    AsJson,
    ShardName,
    note_shard,
    parse_shard,
)
from .screen import fail_inputs, messages, notes, progress, screen, skip, warn

if TYPE_CHECKING:
    from ..base.pool import Outcome
    from ..base.progress import Progress
    from ..events import SensorSize
    from ..recordings.config import ConvertConfig, RecordingConfig
    from ..recordings.conversion import Conversion, ConversionTask

PREVIEW_SUFFIX = ".webm"
DEFAULT_SUFFIX = ".h5"
NOT_CONVERTED = "could not be converted completely"


@takes(verb)
def convert(
    sources: list[Path],
    out: Path,
    *,
    suffix: str | None = None,
    preview: Annotated[bool, Parameter(help="Also write a .webm video of the events next to each event file.")] = False,
    jobs: int | str = 1,
    shard: ShardName = None,
    as_json: AsJson = False,
    overwrite: bool = False,
    settings: ConversionSettings = ConversionSettings(),
    **given: Any,
) -> None:
    from ..recordings.conversion import plan_conversions

    of_video, of_recording = build_settings(settings, **given)
    share = parse_shard(shard)
    tasks = plan_conversions(sources, out, suffix or DEFAULT_SUFFIX, shard=share)

    note_shard(share, len(tasks))
    if not tasks:
        return

    # Refuse contradictions before the first file is converted.
    if of_video.video.timestamps and len(tasks) > 1:
        raise FileError(f"{of_video.video.timestamps}: timestamps are for a single video (found {len(tasks)} sources)")
    if suffix is not None and [task.target for task in tasks] == [out]:
        raise ConfigError(f"{out}: --suffix: only for an output folder")

    refuse_unused(tasks, settings.model_fields_set, given)
    if preview:
        _check_previews(tasks, overwrite=overwrite)

    conversions = Conversions(of_video, of_recording, preview=preview, as_json=as_json, overwrite=overwrite)
    # Partial output is resumed by the same command, which is worth a hint after Ctrl-C.
    with explain_interrupt(tasks, overwrite=overwrite):
        failed = conversions.run(tasks, None if len(tasks) == 1 and share.count == 1 else jobs)
    fail_inputs(failed, len(tasks), NOT_CONVERTED)


def refuse_unused(tasks: Sequence[ConversionTask], settings: Collection[str], given: Collection[str]) -> None:
    """Reject options that apply only to videos, recordings or HDF5 files if there are none."""
    from ..formats import FORMATS

    if "compression" in settings and not any(task.target.suffix.lower() in FORMATS["hdf5"].suffixes for task in tasks):
        raise ConfigError(f"{tasks[0].target}: --compression: only for HDF5 files")

    options = [name for name in (*settings, *given) if name != "compression"]
    of_recordings = {*RECORDING_SETTINGS, "sensor", "hints"}

    existing = [task for task in tasks if task.source.exists() or task.camera is not None]  # others are reported later
    for for_videos, kind in ((True, "videos"), (False, "recordings")):
        unused = [name for name in options if (name in of_recordings) is not for_videos]
        if unused and existing and not any(task.kind.is_video is for_videos for task in existing):
            listed = ", ".join(f"--{name.replace('_', '-')}" for name in unused)
            other = "; --sensor-size is for videos" if "sensor" in unused else ""
            raise ConfigError(f"{existing[0]}: {listed}: only for {kind}{other}")


@contextmanager
def explain_interrupt(tasks: Sequence[ConversionTask], *, overwrite: bool) -> Iterator[None]:
    """After Ctrl-C, print that the same command resumes, if partial output exists."""
    try:
        yield
    except KeyboardInterrupt:
        targets = [task.target for task in tasks]
        saved = [path for target in targets for path in (target, target.with_name(f"{target.name}.part"))]
        if not overwrite and any(path.exists() for path in saved):
            messages.print("run the same command again to resume")
        raise


@dataclass(frozen=True)
class Conversions:
    """Conversion of one or many files, with its settings.

    Args:
        of_video: Settings for videos.
        of_recording: Settings for recordings.
        preview: Whether to write a video of the events, too.
        as_json: Whether to print results as JSON.
        overwrite: Whether to replace existing files.
    """

    of_video: ConvertConfig
    of_recording: RecordingConfig
    preview: bool = False
    as_json: bool = False
    overwrite: bool = False

    def run(self, tasks: Sequence[ConversionTask], jobs: int | str | None) -> int:
        """Convert files, print the results, and return the number of failures.

        With `jobs`, files with an output are skipped, and those that fail are printed. Without, a single
        file is converted here, and its error is raised.
        """
        from ..recordings.conversion import convert_many, find_unconverted

        started_s = time.monotonic()

        waiting = list(tasks) if jobs is None or self.overwrite else find_unconverted(tasks)
        missing = {*waiting}
        done = [task for task in tasks if task not in missing]
        if done and not notes.quiet:  # not a note: standard output may be JSON
            messages.print(f"already converted: {len(done):,} of {len(tasks):,}; use --overwrite to convert again")

        failed = 0
        with progress() as show:
            if jobs is None:
                outcomes = self._convert_alone(tasks[0], show)
            else:
                outcomes = convert_many(
                    tasks,
                    video=self.of_video,
                    recording=self.of_recording,
                    jobs=jobs,
                    overwrite=self.overwrite,
                    waiting=waiting,
                    progress=ShownStage(show, "files"),
                )

            # A file without its preview counts as failed, too.
            for outcome in outcomes:
                try:
                    conversion = outcome.result()
                    if self.preview:
                        _write_preview(conversion.path, conversion.sensor)
                except DvspipeError as error:
                    if jobs is None:
                        raise
                    failed += 1
                    skip(error)
                else:
                    took_s = time.monotonic() - started_s
                    self._print(conversion, took_s if jobs is None else None)

            # Files that were complete before are not converted again, but their previews may be missing.
            if self.preview:
                failed += self._write_missing_previews(done)

        return failed

    def _convert_alone(self, task: ConversionTask, show: ShowProgress) -> Iterator[Outcome[ConversionTask, Conversion]]:
        """Yield the outcome of a single file, and show the progress inside it."""
        from ..base.pool import Outcome
        from ..base.progress import NamedStep
        from ..recordings.conversion import convert_task

        stage = ShownStage(show, "frames" if task.kind.is_video else "events")
        shown: Progress = NamedStep(stage, str(task))
        if task.camera is not None:
            shown = _announce(f"camera {task.camera}: Ctrl-C ends the recording", shown)

        threads = max(1, (os.cpu_count() or 1) // 2)  # other cores decode and compress
        conversion = convert_task(
            task, shown, video=self.of_video, recording=self.of_recording, overwrite=self.overwrite, threads=threads
        )
        yield Outcome(0, task, conversion, None)

    def _write_missing_previews(self, tasks: Sequence[ConversionTask]) -> int:
        """Write previews that are missing from earlier conversions; return the number of failures."""
        missing = [task.target for task in tasks if not task.target.with_suffix(PREVIEW_SUFFIX).exists()]

        failed = 0
        for target in missing:
            try:
                _write_preview(target, self.of_recording.sensor)
            except DvspipeError as error:
                failed += 1
                skip(error)

        if len(missing) > failed and not notes.quiet:  # not a note: standard output may be JSON
            messages.print(f"missing previews written: {len(missing) - failed:,}")
        return failed

    def _print(self, conversion: Conversion, seconds: float | None) -> None:
        if self.as_json:
            sys.stdout.write(json.dumps(conversion.to_record()) + "\n")
        else:
            size = f"{conversion.path.stat().st_size / 1e6:,.1f} MB"
            took = "" if seconds is None else f", converted in {seconds:.1f} s"
            screen.print(f"{conversion}, {size}{took}")

        if conversion.lost:
            messages.print(Text.assemble(("corrupted: ", "yellow"), conversion.lost))
        if conversion.frames and not conversion.events:
            warn(
                f"{conversion.path}: no pixel changed by its contrast threshold; lower thresholds give more events: "
                "--pos-thres 0.1 --neg-thres 0.1"
            )


def _announce(message: str, show: Progress) -> Progress:
    """Return a progress callback that first prints a message: the source could be opened."""
    waiting = [message]

    def announce_and_show(done: float, total: float) -> None:
        # Only the first call finds the message.
        while waiting:
            messages.print(waiting.pop())
        show(done, total)

    return announce_and_show


def _check_previews(tasks: Sequence[ConversionTask], *, overwrite: bool) -> None:
    """Check that no preview replaces a source, and that the preview of a single source does not exist."""
    from ..base.files import claim_output

    sources = {task.source.resolve() for task in tasks}
    for task in tasks:
        preview = task.target.with_suffix(PREVIEW_SUFFIX)
        if preview.resolve() in sources:
            raise FileError(f"{preview}: the preview would replace a source; write to another folder")
        if len(tasks) == 1:
            claim_output(preview, overwrite=overwrite)


def _write_preview(path: Path, sensor: SensorSize | None) -> None:
    """Write the preview of an event file next to it; `sensor` is for files without a sensor size."""
    view = find_function("view")
    if view is None:
        raise ConfigError("--preview: needs the extra report, which is not installed")
    view(path, path.with_suffix(PREVIEW_SUFFIX), sensor=sensor, overwrite=True)
