"""Event-camera perception, from an ordinary video to a label.

The public names are listed in `__init__.pyi`. Each is loaded at first use, to keep `import dvspipe` fast.

    >>> from dvspipe import events_from_video, read, write, Classifier
"""

import functools
import os
import sys
from collections.abc import Callable

from .numba_cache import ensure_cache

ensure_cache(os.path.dirname(__file__))

HTML_TYPES = (
    ("dvspipe.events.events", "Events"),
    ("dvspipe.datasets.samples", "DataSet"),
    ("dvspipe.results.training", "TrainingRun"),
    ("dvspipe.inference.classifier", "Classifier"),
    ("dvspipe.results.inference", "Prediction"),
)
"""Types that notebooks show as HTML, by module and name; registering them does not import them."""


def _summarize_html(value: object) -> str | None:
    """Return an HTML summary, or None to let Jupyter fall back to `repr`.

    Errors are suppressed: a notebook cell must not fail because its picture does, for example without OpenCV.
    """
    try:
        from .report.notebook import describe

        return describe(value)
    except Exception:
        return None


def _register_html() -> None:
    """Register the HTML summaries if IPython is running; `report` is imported when the first value is shown."""
    get_shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = get_shell() if get_shell else None
    if shell is not None:
        formatter = shell.display_formatter.formatters["text/html"]
        for module, name in HTML_TYPES:
            formatter.for_type_by_name(module, name, _summarize_html)


_register_html()


OTHER_NAMES = {
    "Classify": "dvspipe.Classifier.load(checkpoint)",
    "DataLoader": "dvspipe.torch.loader(dataset)",
    "Dataset": "dvspipe.torch.SpikeDataset(folder)",
    "EventStream": "dvspipe.torch.EventStream(recording)",
    "LIF": "dvspipe.torch.LIF",
    "Poisson": "dvspipe.encoding.Poisson",
    "Sensor": "dvspipe.SensorSize(width, height)",
    "Simulator": "dvspipe.EventSimulator()",
    "SpikeDataset": "dvspipe.torch.SpikeDataset(folder)",
    "check_recording": "dvspipe.check(recording)",
    "classify_recording": "dvspipe.infer(checkpoint, recording)",
    "compare_recordings": "dvspipe.compare(a, b)",
    "convert_recording": "dvspipe.convert(recording, out)",
    "classify": "dvspipe.infer(checkpoint, recording)",
    "concat": "dvspipe.concatenate(parts), or dvspipe.merge(recordings)",
    "crop": "events.crop(left, top, width, height), or dvspipe.cut(recording, region=...)",
    "describe": "dvspipe.info(file)",
    "detect": "dvspipe.infer(checkpoint, recording)",
    "download": "dvspipe.datasets",
    "encode_events": "dvspipe.encode(events)",
    "encode_frames": "dvspipe.frames(recording, folder), or dvspipe.encoding.encode_frames(events)",
    "eval": "dvspipe.evaluate(checkpoint, data)",
    "evaluate_checkpoint": "dvspipe.evaluate(checkpoint, data)",
    "export_checkpoint": "dvspipe.export(checkpoint, path, to=...)",
    "filters": "dvspipe.events.filters, or dvspipe.filter(recording, activity_us=20_000)",
    "fit": "dvspipe.train(folder, run_folder)",
    "from_array": "dvspipe.events_from_video(images, fps), or dvspipe.Events(t, x, y, p, sensor)",
    "from_video": "dvspipe.events_from_video(video)",
    "join": "dvspipe.merge(recordings, gap_us=1000)",
    "list_formats": "dvspipe.formats.FORMATS",
    "load": "dvspipe.read(file)",
    "load_events": "dvspipe.read(file)",
    "loader": "dvspipe.torch.loader(dataset)",
    "open": "dvspipe.read(file), or dvspipe.open_recording(file) for long files",
    "pipeline": "dvspipe.infer(checkpoint, recording)",
    "predict": "dvspipe.infer(checkpoint, recording)",
    "preview": "dvspipe.view(recording, path)",
    "quantise_checkpoint": "dvspipe.quantise(checkpoint, data)",
    "quantize": "dvspipe.quantise(checkpoint, data)",
    "save": "dvspipe.write(path, events), or events.save(path)",
    "save_events": "dvspipe.write(path, events), or events.save(path)",
    "sensors": "dvspipe.simulator.read_preset(name)",
    "show": "dvspipe.plot(events), or dvspipe.animate(events)",
    "slice": "events[first:stop], or events.slice_time(start_us, stop_us)",
    "stack": "dvspipe.encode(events)",
    "test": "dvspipe.evaluate(checkpoint, data)",
    "to_frame": "dvspipe.encode(events, steps=10)",
    "to_tensor": "events.to_torch(), or dvspipe.encode(events)",
    "to_torch": "events.to_torch()",
    "to_voxel": 'dvspipe.encode(events, form="voxel")',
    "track_film": "dvspipe.track(video)",
    "v2e": "dvspipe.events_from_video(video)",
    "version": "dvspipe.__version__",
    "video_to_events": "dvspipe.events_from_video(video)",
    "visualize": "dvspipe.plot(events), or dvspipe.animate(events)",
    "voxel_grid": 'dvspipe.encode(events, form="voxel")',
    "write_view": "dvspipe.view(recording, path)",
}
"""What to write instead of names of other libraries and earlier versions."""


class _OtherModules:
    """Import finder, asked last: the error of a missing module of dvspipe says what to write."""

    @staticmethod
    def find_spec(fullname: str, _path: object = None, _target: object = None) -> None:
        """Raise an error for a module with a name in `OTHER_NAMES`."""
        owner, _, name = fullname.rpartition(".")
        if owner == __name__ and name in OTHER_NAMES:
            from .errors import explain_name

            raise ModuleNotFoundError(explain_name("dvspipe", name, (), OTHER_NAMES), name=fullname)


sys.meta_path.append(_OtherModules)  # type: ignore[arg-type]


@functools.cache
def _attach_names() -> tuple[Callable[[str], object], list[str]]:
    """Attach the public names to this module; return the function that loads one, and their list.

    The command line uses no public name, so it handles Ctrl-C without first importing lazy_loader, the slowest part of
    its start until then.
    """
    import lazy_loader

    load, _, names = lazy_loader.attach_stub(__name__, __file__)
    return load, names


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("dvspipe")
    load, names = _attach_names()
    if name == "__all__":
        return names
    if name in names:
        return load(name)
    from .errors import explain_name

    raise AttributeError(explain_name("dvspipe", name, names, OTHER_NAMES))


def __dir__() -> list[str]:
    return [*_attach_names()[1], "__version__"]
