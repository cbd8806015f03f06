"""The commands. Heavy modules are imported inside the command that needs them, so that --help stays quick."""

from __future__ import annotations

import ctypes
import json
import logging
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ..errors import DvspipeError, FileError
from ..events import SensorSize

EXIT_SOME_FAILED = 1
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's mallopt, from malloc.h

app = typer.Typer(
    name="dvspipe",
    help="Event-camera perception from an ordinary video to a label.",
    epilog="First steps: dvspipe demo; dvspipe convert VIDEO -o EVENTS.h5; dvspipe view EVENTS.h5 -o PREVIEW.webm",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
screen = Console(highlight=False, soft_wrap=True, markup=False)  # file names may look like markup
messages = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
showing_progress = interrupted = False  # the state of Ctrl-C

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there already.")]
Sensor = Annotated[
    str | None, typer.Option("--sensor", metavar="WxH", help="The sensor, for files that do not name it.")
]


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more of what happens.")] = False,
) -> None:
    """Sets up logging, for every command."""
    if version:
        from importlib.metadata import version as version_of

        screen.print(f"dvspipe {version_of('dvspipe')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        screen.print(context.get_help())
        raise typer.Exit
    _show_log(logging.INFO if verbose else logging.WARNING)


@app.command()
def convert(
    videos: Annotated[
        list[Path], typer.Argument(help="Videos, GIFs, image folders, folders of such, or a camera: 0, 1, ...")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The event file (.h5); a folder for several videos.")],
    preset: Annotated[str | None, typer.Option(help="A sensor: clean, noisy, v2e, ..., or a YAML file.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Pixel model, such as pos_thres=0.15.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of mismatch and noise.")] = None,
    fps: Annotated[float | None, typer.Option(help="Frames per second to use instead of the video's times.")] = None,
    timestamps: Annotated[
        str | None, typer.Option(metavar="FILE", help="A file of times to use instead, one line per frame.")
    ] = None,
    time_unit: Annotated[str | None, typer.Option(metavar="s|ms|us|ns", help="Unit of the times in that file.")] = None,
    transfer: Annotated[str, typer.Option(help="The video's curve: srgb, bt709, gamma=x, linear.")] = "srgb",
    crop: Annotated[str | None, typer.Option(metavar="WxH+X+Y", help="Part of the picture to keep.")] = None,
    resize: Annotated[str | None, typer.Option(metavar="WxH", help="Size to scale the picture to.")] = None,
    start: Annotated[float, typer.Option("--start", help="First second to keep.")] = 0.0,
    stop: Annotated[float | None, typer.Option("--stop", help="Second from which on to leave out.")] = None,
    upsample: Annotated[
        str, typer.Option(metavar="off|auto|N", help="Motion-compensated steps between two frames.")
    ] = "off",
    label_noise: Annotated[bool, typer.Option("--label-noise", help="Write which events are noise.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Processes for several videos.")] = 1,
    preview: Annotated[bool, typer.Option("--preview", help="Also write a .webm of the events.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Turn videos into events, as an event camera would have seen them."""
    from ..config import build, merge_settings, parse_overrides
    from ..conversion import ConvertConfig, plan_conversions
    from ..simulator import read_preset

    model = merge_settings(read_preset(preset) if preset else {}, parse_overrides(settings or []))
    if seed is not None:
        model["seed"] = seed
    read = {
        "fps": fps, "timestamps": timestamps, "time_unit": time_unit, "transfer": transfer, "crop": crop,
        "resize": resize, "start_s": start, "stop_s": stop,
    }  # fmt: skip
    how = {"upsample": int(upsample) if upsample.isdecimal() else upsample, "label_noise": label_noise}
    config = build(ConvertConfig, {"simulator": model, "video": read, **how}, "convert")
    plan = plan_conversions(videos, out)
    if timestamps and len(plan) > 1:
        raise FileError(f"{timestamps}: --timestamps gives the times of one video, and there are {len(plan)}")
    if len(plan) == 1:
        _convert_one(*plan[0], config, preview, overwrite)
        return
    waiting = [(video, target) for video, target in plan if overwrite or not target.exists()]
    if len(waiting) < len(plan):
        screen.print(f"{len(plan) - len(waiting)} of {len(plan)} are there already; --overwrite makes them anew")
    failed = _convert_many(waiting, config, preview, jobs, overwrite)
    if failed:
        _fail(f"{failed} of {len(waiting)} videos could not be converted whole", EXIT_SOME_FAILED)


def _convert_one(video: Path, target: Path, config: Any, preview: bool, overwrite: bool) -> None:
    from ..conversion import convert_video
    from ..video import camera_of

    if (camera := camera_of(video)) is not None:
        messages.print(f"camera {camera}: Ctrl-C ends it")
    began = time.monotonic()
    with _progress() as show:
        done = convert_video(
            video, target, config, overwrite=overwrite, progress=lambda done, total: show("frames", done, total)
        )
    if preview:
        _write_preview(target, overwrite)
    _print_conversion(done, time.monotonic() - began)


def _convert_many(plan: list[tuple[Path, Path]], config: Any, preview: bool, jobs: int, overwrite: bool) -> int:
    """Converts videos one after another or in processes; names those that fail, and returns how many."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, as_completed

    from ..conversion import convert_video

    failed = 0
    level = logging.getLogger("dvspipe").level
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), initializer=_show_log, initargs=(level,))
    try:
        running = {pool.submit(convert_video, *pair, config, overwrite=overwrite): pair for pair in plan}
        with _progress() as show:
            for number, job in enumerate(as_completed(running), start=1):
                try:
                    done = job.result()
                    if preview:
                        _write_preview(done.path, overwrite=True)
                    _print_conversion(done, None)
                except DvspipeError as error:
                    failed += 1
                    _pass_over(error)
                show("videos", number, len(plan))
    finally:
        pool.shutdown(cancel_futures=True)
    return failed


def _print_conversion(done: Any, seconds: float | None) -> None:
    duration_s = done.duration_us * 1e-6
    took = "" if seconds is None else f", converted in {seconds:.1f} s"
    screen.print(
        f"{done.path}: {done.events:,} events, {done.events / duration_s:,.0f} per second, from {done.frames} frames "
        f"of {done.sensor} in {duration_s:.2f} s of video{took}"
    )


def _write_preview(events: Path, overwrite: bool) -> None:
    from ..files import claim_output
    from ..formats import open_recording
    from ..report import PreviewSettings, write_preview

    target = events.with_suffix(".webm")
    claim_output(target, overwrite=overwrite)
    recording = open_recording(events)
    write_preview(recording.chunks(), recording.sensor, target, PreviewSettings())


@app.command()
def info(
    files: Annotated[list[Path], typer.Argument(help="Recordings.")],
    sensor: Sensor = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of objects.")] = False,
) -> None:
    """Say what recordings hold: sensor, events, duration, rates, polarities, settings."""
    from ..formats import describe

    size = _sensor_size(sensor)
    found = [describe(file, sensor=size) for file in files]
    if as_json:
        sys.stdout.write(json.dumps([asdict(one) for one in found], indent=1) + "\n")
        return
    for one in found:
        table = Table(title=Text(one.file), title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
        table.add_row("format", one.format)
        table.add_row("sensor", f"{one.width} x {one.height} ({one.sensor_source})")
        table.add_row("events", f"{one.events:,}")
        if one.t_first_us is not None and one.t_last_us is not None:
            table.add_row("time", f"{one.t_first_us:,} to {one.t_last_us:,} us ({one.duration_us * 1e-6:.6g} s)")
        if one.rate_hz is not None:
            table.add_row("rate", f"{one.rate_hz:,.0f} events/s, {one.rate_hz / one.width / one.height:.3g} per pixel")
        if one.on_fraction is not None:
            table.add_row("polarity", f"{one.on_fraction:.1%} ON, {1 - one.on_fraction:.1%} OFF")
        for key, value in one.attributes.items():
            if key not in ("width", "height", "format"):
                table.add_row(Text(key), Text(json.dumps(value) if isinstance(value, dict | list) else str(value)))
        screen.print(table)


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="The recording to compare with, such as a real one.")],
    b: Annotated[Path, typer.Argument(help="The recording that is judged, such as a simulated one.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="An .html page with pictures.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as an object.")] = False,
    window: Annotated[float, typer.Option(min=0.1, max=1e6, help="Length of a count map, in ms.")] = 40.0,
    sensor: Sensor = None,
    overwrite: Overwrite = False,
) -> None:
    """Hold two recordings of one scene against each other: rates, counts, times."""
    from ..comparison import CompareSettings
    from ..comparison import compare as compare_events
    from ..config import build
    from ..files import claim_output
    from ..formats import read
    from ..report import figures, write_comparison_page

    if out:
        claim_output(out, overwrite=overwrite)
    size = _sensor_size(sensor)
    settings = build(CompareSettings, {"window_us": round(window * 1000)}, "compare")
    compared = compare_events(read(a, sensor=size), read(b, sensor=size), settings)
    if as_json:
        sys.stdout.write(json.dumps(compared.to_record(), allow_nan=False) + "\n")
    else:
        table = Table(box=None, padding=(0, 2, 0, 0), title=Text(f"A {a}\nB {b}"), title_justify="left")
        for heading in ("figure", "value", "meaning"):
            table.add_column(heading, overflow="fold")
        for row in figures(compared):
            table.add_row(*map(Text, row))
        screen.print(table)
    if out:
        write_comparison_page(compared, (str(a), str(b)), out)


@app.command()
def calibrate(
    recording: Annotated[Path, typer.Argument(help="An .aedat4 file with the frames and events of one sensor.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The sensor's YAML file, for convert --preset.")],
    overwrite: Overwrite = False,
) -> None:
    """Fit the pixel model to a recording that holds frames and events."""
    import yaml

    from ..files import claim_output, write_beside
    from ..formats import read, read_frames
    from ..simulator import calibrate as fit

    claim_output(out, overwrite=overwrite)
    found = fit(list(read_frames(recording)), read(recording))
    with write_beside(out) as beside:
        fitted = yaml.safe_dump(found.to_yaml_settings(), sort_keys=False)
        beside.write_text(f"# Fitted by dvspipe calibrate to {recording.name}\n{fitted}", encoding="utf-8")
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for name, value in asdict(found).items():
        table.add_row(name, f"{value:.6g}" if isinstance(value, float) else str(value))
    screen.print(table)
    screen.print(f"{out}: use it as dvspipe convert VIDEO -o EVENTS.h5 --preset {out}")


@app.command()
def view(
    file: Annotated[Path, typer.Argument(help="A recording.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A .webm or .gif to play, or a .png sheet of pictures.")],
    window: Annotated[float, typer.Option(min=0.1, max=1e6, help="Time shown in one picture, in ms.")] = 33.333,
    slow: Annotated[float, typer.Option(min=0.001, max=1000, help="Times slower than real time.")] = 1.0,
    colours: Annotated[str, typer.Option(help="light, dark or colour-blind.")] = "light",
    sensor: Sensor = None,
    overwrite: Overwrite = False,
) -> None:
    """Show events as pictures, ON and OFF in two colours."""
    from ..config import build
    from ..files import claim_output
    from ..formats import describe, open_recording
    from ..report import PreviewSettings, write_preview

    settings = build(PreviewSettings, {"window_us": round(window * 1000), "slow": slow, "colours": colours}, "view")
    claim_output(out, overwrite=overwrite)
    size = _sensor_size(sensor)
    recording = open_recording(file, sensor=size)
    span = None
    if out.suffix.lower() == ".png":
        found = describe(file, sensor=size)
        span = (found.t_first_us or 0, found.t_last_us or 0)
    write_preview(recording.chunks(), recording.sensor, out, settings, span_us=span)
    screen.print(f"{out}: {recording.path.name}, sensor {recording.sensor}")


@app.command()
def train(
    config: Annotated[str, typer.Argument(help="A YAML file, or the name of a shipped one (nmnist, gesture).")],
    settings: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Such as data.root=DIR.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The run folder; runs/train/<name> by default.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Train a spiking classifier on labelled recordings, and test it."""
    from ..config import build, merge_settings, parse_overrides, read_yaml

    merged = merge_settings(read_yaml(config), parse_overrides(settings or []))
    from ..training import TrainConfig

    resolved = build(TrainConfig, merged, config)
    folder = _run_folder(out, Path("runs/train"), resolved.name, overwrite)
    command = shlex.join(["dvspipe", "train", config, *(settings or [])])
    run = _train(resolved, folder, command)
    _print_test(run)
    screen.print(f"{folder / 'report.html'} shows it; next:")
    screen.print(f"  {shlex.join(['dvspipe', 'infer', str(run.checkpoint), 'RECORDING'])}")


@app.command()
def infer(
    checkpoint: Annotated[Path, typer.Argument(help="weights/best.safetensors of a run.")],
    recordings: Annotated[list[Path], typer.Argument(help="Recordings.")],
    out: Annotated[Path | None, typer.Option("--out", help="Folder for predictions.csv and predictions.jsonl.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Say what recordings show: a label and its probability."""
    if out:
        _claim_folder(out, ("predictions.csv", "predictions.jsonl"), overwrite)
    from ..inference import Classifier, write_predictions

    classifier = Classifier.load(checkpoint)
    said, failed = [], 0
    with _progress() as show:
        for number, file in enumerate(recordings, start=1):
            try:
                said.append(classifier.predict(file))
            except DvspipeError as error:
                if len(recordings) == 1:
                    raise
                failed += 1
                _pass_over(error)
            show("recordings", number, len(recordings))
    _print_predictions(said)
    if out:
        write_predictions(out, said)
    if failed:
        _fail(f"{failed} of {len(recordings)} recordings got no answer", EXIT_SOME_FAILED)


@app.command()
def demo(
    out: Annotated[Path | None, typer.Option("--out", help="The run folder; runs/demo by default.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Go the whole way once on synthetic data: render, convert, train, test, infer. Takes about three minutes."""
    from ..demo import run_demo

    folder = _run_folder(out, Path("runs"), "demo", overwrite)
    with _training_screen() as listener:
        done = run_demo(folder, listener)
    _print_test(done.run)
    _print_predictions([done.prediction])
    screen.print(f"\nAll of it is in {folder}, and all of it is synthetic; open {folder / 'report.html'} first. Next:")
    for command in done.next_commands:
        screen.print(f"  {command}")


def main() -> None:
    """Runs the command line; what a user can mend ends in one line and exit code 2."""
    signal.signal(signal.SIGINT, _interrupt)
    try:
        code = app(standalone_mode=False)  # typer turns Ctrl-C into this code
        if code == EXIT_INTERRUPTED:
            raise KeyboardInterrupt
    except DvspipeError as error:
        _fail(str(error), EXIT_ERROR)
    except (KeyboardInterrupt, typer.Abort):
        _fail("stopped", EXIT_INTERRUPTED)
    except MemoryError as error:
        _fail(f"not enough memory ({error}); fewer steps, a smaller batch or more downsampling need less", EXIT_ERROR)
    except OSError as error:
        _fail(f"{error.filename or 'input or output'}: {error.strerror or error}", EXIT_ERROR)
    except Exception as error:
        if not hasattr(error, "format_message"):  # a mistake of ours, not of the one who typed
            raise
        _fail(error.format_message(), EXIT_ERROR)


def _interrupt(*_: Any) -> None:
    """Ctrl-C: stops at the next progress, or at once where none is shown or at the second time.

    Not always at once, because Python drops an exception that happens to be raised inside a destructor.
    """
    global interrupted
    if interrupted or not showing_progress:
        raise KeyboardInterrupt
    interrupted = True


class _LogLines(logging.Handler):
    """Prints a line per message (rich's own handler folds them)."""

    def emit(self, record: logging.LogRecord) -> None:
        messages.print(Text(record.getMessage()))


def _show_log(level: int) -> None:
    log = logging.getLogger("dvspipe")
    log.addHandler(_LogLines())
    log.setLevel(level)


def _sensor_size(text: str | None) -> SensorSize | None:
    """What --sensor says."""
    return SensorSize.parse(text) if text else None


def _fail(message: str, code: int) -> None:
    messages.print(Text.assemble(("dvspipe: ", "red"), " ".join(message.split())))
    sys.exit(code)


def _pass_over(error: DvspipeError) -> None:
    messages.print(Text.assemble(("passed over: ", "yellow"), " ".join(str(error).split())))


def _run_folder(out: Path | None, parent: Path, name: str, overwrite: bool) -> Path:
    """A new folder for a run: the one asked for, or the name with the first number that is free."""
    if out is None:
        folder, number = parent / name, 2
        while folder.exists() and not overwrite:
            folder, number = parent / f"{name}-{number}", number + 1
        return folder
    if out.exists() and not out.is_dir():
        raise FileError(f"{out}: is a file, expected a folder for the run")
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise FileError(f"{out}: exists already; --overwrite replaces what is in it")
    return out


def _claim_folder(folder: Path, names: tuple[str, ...], overwrite: bool) -> None:
    from ..files import claim_output

    for name in names:
        claim_output(folder / name, overwrite=overwrite)


@contextmanager
def _progress() -> Iterator[Any]:
    """A function (stage, done, total) that shows progress with the time left; a new stage begins a new bar."""
    global showing_progress
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=messages, transient=True, disable=not messages.is_terminal) as bars:
        showing_progress = True
        current: dict[str, TaskID] = {}

        def show(stage: str, done: int, total: int) -> None:
            if interrupted:
                raise KeyboardInterrupt
            if stage not in current:
                for old in current.values():
                    bars.remove_task(old)
                current.clear()
                current[stage] = bars.add_task(stage, total=total or None)
            bars.update(current[stage], completed=done, total=total or None)

        try:
            yield show
        finally:
            showing_progress = False


def _keep_freed_memory() -> None:
    """Lets glibc keep large freed blocks for the next tensors.

    By default it gives them back to the kernel and gets them again, zeroed, at every training step, which takes a third
    of a step on two cores.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


@contextmanager
def _training_screen() -> Iterator[Any]:
    from ..training import Listener

    _keep_freed_memory()

    class Screen(Listener):
        def progress(self, stage: str, done: int, total: int) -> None:
            show(stage, done, total)

        def epoch(self, record: dict[str, float]) -> None:
            screen.print(
                f"epoch {record['epoch']:3.0f}  loss {record['train_loss']:.3f}  "
                f"accuracy {record['train_accuracy']:6.1%}  validation {record['val_accuracy']:6.1%}  "
                f"{record['seconds']:.1f} s"
            )

        def warn(self, text: str) -> None:
            messages.print(Text.assemble(("warning: ", "yellow"), text))

    with _progress() as show:
        yield Screen()


def _train(config: Any, folder: Path, command: str) -> Any:
    from ..report import write_training_page
    from ..training import train as run_training

    with _training_screen() as listener:
        run = run_training(config, folder, command=command, listener=listener)
    write_training_page(folder)
    return run


def _print_test(run: Any) -> None:
    kind = " (synthetic)" if run.test["synthetic"] else ""
    screen.print(
        f"test accuracy{kind} {run.test['accuracy']:.1%}, {run.test['correct']} of {run.test['samples']}: "
        f"{run.test['data']}; epoch {run.test['chosen_epoch']}, chosen on the validation part"
    )


def _print_predictions(predictions: list[Any]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("file", overflow="fold")
    for heading in ("label", "class", "probability", "events"):
        table.add_column(heading, justify="left" if heading == "class" else "right")
    for said in predictions:
        table.add_row(
            Text(said.file), str(said.label), Text(said.class_name), f"{said.probability:.1%}", f"{said.events:,}"
        )
    screen.print(table)
    for trained_on in {said.trained_on for said in predictions if said.trained_on}:
        screen.print(f"by a network that was trained on {trained_on}")
