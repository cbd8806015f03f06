"""Write the generated pages of the site to docs/generated; docs/conf.py calls this before each build.

The pages are generated from the commands, the models of the settings, the public Python names, and the records of the
included classifiers. Pages outside docs (benchmarks, changelog, ...) are copied with adapted links.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import pkgutil
import re
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import results_page
import yaml
from pydantic import BaseModel

import dvspipe
from dvspipe import ConvertConfig, InferConfig, TrainConfig
from dvspipe.base.config import Settings
from dvspipe.base.groups import find_kinds
from dvspipe.checkpoints.checkpoint import shipped_checkpoints
from dvspipe.checkpoints.model_card import write_shipped_card
from dvspipe.cli.app import app

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GENERATED = DOCS / "generated"

COPIED: Mapping[str, str] = {
    "BENCHMARKS.md": "benchmarks",
    "CHANGELOG.md": "changelog",
    "CODE_OF_CONDUCT.md": "code-of-conduct",
    "CONTRIBUTING.md": "contributing",
    "RELEASE.md": "release",
    "SECURITY.md": "security",
    "dvspipe/inference/joints.md": "joints-network",
}
"""Files outside docs that are pages of the site, and the names of their pages."""
CARDS: Mapping[str, str] = {f"dvspipe/checkpoints/{name}.md": name for name in shipped_checkpoints()}
"""Model cards and the names of their pages."""

LINK = re.compile(r"(?<=\]\()(?!https?://|#)([^)#\s]*)((?:#[^)\s]*)?)(?=\))")


class Area(NamedTuple):
    """Page of the Python API: title, first sentence, documented names, and rooms whose other names follow."""

    title: str
    text: str
    names: tuple[str, ...]
    rooms: tuple[str, ...] = ()


AREAS: Mapping[str, Area] = {
    "events": Area(
        "Events and files",
        "Recordings in memory and in files of any format.",
        (
            "Events",
            "SensorSize",
            "Region",
            "concatenate",
            "windows",
            "read",
            "iterate",
            "write",
            "info",
            "cut",
            "filter",
            "FilterConfig",
            "merge",
            "check",
            "CheckSettings",
            "compare",
            "CompareSettings",
            "plot",
            "animate",
            "view",
            "PreviewSettings",
            "open_recording",
            "Hints",
            "Recording",
            "RecordingInfo",
            "CheckReport",
            "Comparison",
            "frames",
        ),
        ("events", "events.filters", "formats"),
    ),
    "conversion": Area(
        "Video to events",
        "Frames, the simulated sensor, and the conversion of many files.",
        (
            "events_from_video",
            "convert",
            "convert_video",
            "ConvertConfig",
            "VideoSettings",
            "SimulatorConfig",
            "simulate",
            "EventSimulator",
            "calibrate",
            "open_video",
            "Frame",
            "frames_from_arrays",
            "plan_conversions",
            "convert_many",
            "ConversionTask",
            "Conversion",
            "RecordingConfig",
        ),
        ("simulator", "synthesis"),
    ),
    "pose": Area(
        "Joints of people in films",
        "Joints over time, in the picture and in the body's frame.",
        (
            "track",
            "pose.FilmTrackSettings",
            "pose.TrackSettings",
            "pose.Track",
            "pose.measure_arms",
            "pose.ArmTracks",
            "pose.ArmTrack",
            "pose.check_brightness",
            "pose.find_movement",
            "pose.GesturePart",
        ),
        ("pose",),
    ),
    "encoding": Area(
        "Spike tensors and spike codes",
        "Events to tensors, and values to spike trains.",
        (
            "BinConfig",
            "encode",
            "encode_stream",
            "spikes",
            "encoding.encode_frames",
            "encoding.FrameConfig",
            "encoding.EventFrame",
            "encoding.ToSpikes",
            "encoding.Poisson",
            "encoding.Latency",
            "encoding.LogLatency",
            "encoding.RankOrder",
            "encoding.Population",
            "encoding.Contrast",
            "encoding.Delta",
            "encoding.StepForward",
            "encoding.HoughSpiker",
            "encoding.BensSpiker",
        ),
        ("encoding",),
    ),
    "training": Area(
        "Training",
        "Training, evaluation, and the choice of settings for a folder.",
        (
            "train",
            "evaluate",
            "choose_settings",
            "Choice",
            "TrainConfig",
            "TrainingCallback",
            "LogCallback",
            "TrainingRun",
            "RunFolder",
            "TestResult",
            "EvaluationResult",
            "DataSet",
            "export",
            "quantise",
            "learn",
        ),
        ("training", "datasets", "oneshot"),
    ),
    "rules": Area(
        "Learning rules",
        "How the rules of each kind are called, and the rules.",
        (
            "rules.GradientRule",
            "rules.Bptt",
            "rules.OTTT",
            "rules.SLTT",
            "rules.STLLR",
            "rules.EProp",
            "rules.Decolle",
            "rules.PlasticityRule",
            "rules.PairRule",
            "rules.TripletRule",
            "rules.SpikeTimeLayer",
            "rules.FirstSpikeLayer",
            "rules.SpikePropLayer",
            "rules.EventPropLayer",
            "rules.SuperSpikeLayer",
        ),
        ("rules",),
    ),
    "inference": Area(
        "Inference",
        "Labels of recordings over time.",
        (
            "infer",
            "Classifier",
            "InferConfig",
            "Prediction",
            "adapt",
            "Adaptation",
            "adapt_readout",
            "ReadoutAdaptation",
            "plan_tasks",
            "classify_many",
            "ClassifyOptions",
        ),
        ("inference", "framing"),
    ),
    "live": Area(
        "Live streams",
        "Cameras, streams and replayed files to labels, while they run.",
        (
            "live",
            "streaming.LiveSession",
            "streaming.open_live",
        ),
        ("streaming",),
    ),
    "torch": Area(
        "PyTorch",
        "Data sets, loaders and neurons for your own training loops.",
        (
            "torch.SpikeDataset",
            "torch.EventStream",
            "torch.loader",
            "torch.collate",
            "torch.collate_padded",
            "torch.LIF",
            "torch.LeakyReadout",
            "torch.to_tensor",
        ),
        ("torch", "networks"),
    ),
    "running": Area(
        "Running and errors",
        "The machine, processes, clusters, progress, and all errors.",
        (
            "doctor",
            "Processes",
            "Ray",
            "Shard",
            "Outcome",
            "ProgressBar",
            "DvspipeError",
            "ArgumentError",
            "Remedy",
            "ConfigError",
            "EventError",
            "FileError",
            "FormatError",
            "CorruptionError",
            "VideoError",
            "TruncatedVideoError",
            "DataError",
            "CheckpointError",
            "WorkerError",
        ),
    ),
}
"""Pages of the Python API. Together they document every public name, and all classes and functions of the rooms."""


def write_pages() -> None:
    """Write all generated pages. Unchanged pages keep their date, and Sphinx does not read them again."""
    pages = {f"{page}.md": copied_page(source) for source, page in COPIED.items()}
    pages |= {f"{name}.md": write_shipped_card(name) for name in CARDS.values()}
    pages |= {"cli.md": command_page(), "configuration.md": settings_page(), "presets.md": presets_page()}
    pages |= {"fields.md": results_page.render_fields()}
    pages |= {f"api/{name}.rst": text for name, text in api_pages().items()}
    if missing := public_names() - {name for area in AREAS.values() for name in area.names}:
        raise SystemExit(f"{__file__}: AREAS lacks public names: {', '.join(sorted(missing))}")

    for name, text in pages.items():
        path = GENERATED / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def public_names() -> set[str]:
    """Return the public names of `dvspipe` without its modules."""
    return {name for name in dir(dvspipe) if name[0] != "_" and not inspect.ismodule(getattr(dvspipe, name))}


def to_page(target: str, folder: Path) -> str:
    """Return the site page of a file of the repository.

    Args:
        target: Link in the file, without the heading.
        folder: Folder of the file with the link.
    """
    path = (folder / target).resolve()
    name = path.relative_to(ROOT).as_posix()
    if page := COPIED.get(name) or CARDS.get(name):
        return f"/generated/{page}.md"
    if name == "README.md":
        return "/index.md"

    return f"/{path.relative_to(DOCS).as_posix()}" if path.is_relative_to(DOCS) else target


def change_links(text: str, folder: Path) -> str:
    """Return Markdown with links adapted to the pages of the site."""
    return LINK.sub(lambda found: (to_page(found[1], folder) if found[1] else "") + found[2], text)


def copied_page(source: str) -> str:
    """Return the page of a file outside docs."""
    path = ROOT / source
    return change_links(path.read_text(encoding="utf-8"), path.parent)


def command_page() -> str:
    """Return the page of all commands with the texts of `--help`."""
    text = app.generate_docs("markdown", max_heading_level=3)
    return re.sub(r"^# .*$", "# Command line", text, count=1, flags=re.MULTILINE)


def settings_page() -> str:
    """Return the page of all settings with types, defaults and docstrings."""
    lines = [
        "# Configuration\n",
        "All settings with their types and defaults. A configuration contains only what differs from the defaults.\n",
        "## Training\n",
        "For `dvspipe train`, `evaluate` and `data`, in a YAML file or as KEY=VALUE:",
        "`dvspipe train mine.yaml optimiser.epochs=10`. Both need the full name; a dot is a group of the file:",
        "`optimiser: {epochs: 10}`. Short names, such as `epochs=10`, are keywords of Python only.\n",
        *_group(TrainConfig, ""),
        "## Conversion\n",
        "In Python, `dvspipe.ConvertConfig`. On the command line, omit the group:",
        "`dvspipe convert VIDEO.mp4 -o events.h5 --pos-thres 0.3 --fps 50`. For recordings, the settings are",
        "`--sort` and `--salvage`.\n",
        *_group(ConvertConfig, ""),
        "## Inference\n",
        "Options of `dvspipe infer`: `dvspipe infer CHECKPOINT RECORDING --segments.enter 0.7`.\n",
        *_group(InferConfig, ""),
    ]
    return "\n".join(lines)


def _group(model: type[BaseModel], prefix: str) -> Iterator[str]:
    """Yield the table of a group, then the tables of its subgroups."""
    described = dict(_docstrings(model))
    inner = []
    if prefix == "data.video.":
        yield "### `data.video`\n"
        yield "Conversion of the videos in a data set: the settings of [conversion](#conversion).\n"
        return

    if prefix:
        yield f"### `{prefix.rstrip('.')}`\n"
        yield _sentence(model.__doc__ or "") + "\n"

    yield "| setting | type | default | meaning |"
    yield "|---|---|---|---|"
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            inner.append(_group(field.annotation, f"{prefix}{name}."))
            continue

        if kinds := find_kinds(field.annotation):
            inner.append(_kinds(kinds, f"{prefix}{name}"))
            continue

        default = field.get_default(call_default_factory=True)
        shown = "" if field.is_required() else f"`{_yaml(default)}`"
        yield f"| `{prefix}{name}` | {_type(field.annotation)} | {shown} | {_sentence(described.get(name, ''))} |"

    yield ""
    for lines in inner:
        yield from lines


def _kinds(kinds: Mapping[str, type[BaseModel]], group: str) -> Iterator[str]:
    """Yield the kinds of a group, then a table of all settings with their kinds."""
    yield f"### `{group}`\n"
    yield f"`{group}.kind`, by default `{next(iter(kinds))}`:\n"
    owners: dict[tuple[str, str, str, str], list[str]] = {}
    inner: dict[str, type[Settings]] = {}

    for kind, model in kinds.items():
        yield f"- `{kind}`: {_sentence(model.__doc__ or '')}"
        described = dict(_docstrings(model))
        for name, field in model.model_fields.items():
            if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
                inner[name] = field.annotation
                continue

            default = _yaml(field.get_default(call_default_factory=True))
            row = (name, _type(field.annotation), default, _sentence(described.get(name, "")))
            if name != "kind":
                owners.setdefault(row, []).append(kind)

    yield ""
    yield "| setting | kinds | type | default | meaning |"
    yield "|---|---|---|---|---|"
    for (name, form, default, meaning), having in owners.items():
        shown = ", ".join(f"`{kind}`" for kind in having)
        yield f"| `{group}.{name}` | {shown} | {form} | `{default}` | {meaning} |"

    yield ""
    for name, settings in inner.items():
        yield from _group(settings, f"{group}.{name}.")


def _docstrings(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """Yield name and docstring of each field of a model and its base classes."""
    for owner in reversed(model.__mro__):
        if not issubclass(owner, Settings) or owner is Settings:
            continue
        body = ast.parse(inspect.getsource(owner)).body[0]
        statements = body.body if isinstance(body, ast.ClassDef) else []
        for field, text in itertools.pairwise(statements):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                yield ast.unparse(field.target), str(text.value.value)


def _type(annotation: object) -> str:
    """Return a type in YAML terms."""
    origin = typing.get_origin(annotation)
    arguments = typing.get_args(annotation)
    if annotation is None or annotation is type(None):
        return "null"
    if origin is typing.Literal:
        return ", ".join(f"`{choice}`" for choice in arguments)
    if origin in {typing.Union, types.UnionType}:
        return " or ".join(map(_type, arguments))
    if origin is typing.Annotated:
        return _type(arguments[0])
    if origin is tuple:
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return "settings"

    name = str(annotation.__name__)  # type: ignore[attr-defined]
    return {"str": "text", "Path": "path", "bool": "true or false"}.get(name, name)


def _yaml(value: object) -> str:
    if isinstance(value, tuple):
        value = list(value)
    if dataclasses.is_dataclass(value):
        value = {name: one for name, one in vars(value).items() if one is not None}
    plain = value if isinstance(value, bool | int | float | str | list | dict | None) else str(value)
    if isinstance(plain, str):
        return plain or "''"
    text = yaml.safe_dump(plain, default_flow_style=True, width=10**6).removesuffix("\n...\n").strip()
    return text.replace("|", "\\|")


def _sentence(text: str) -> str:
    """Return a docstring as one line for a table cell."""
    line = " ".join(inspect.cleandoc(text).split()).replace("|", "\\|")
    return re.sub(r"(`[^`]*`)|<", lambda found: found[1] or "&lt;", line)


def presets_page() -> str:
    """Return the page of the included sensor presets, with the text of their files."""
    lines = ["# Presets\n", "Simulated sensors for `dvspipe convert --preset NAME`, with the source of each value.\n"]
    for path in sorted((ROOT / "configs" / "sensors").glob("*.yaml")):
        lines += [f"## `{path.stem}`\n", "```yaml", path.read_text(encoding="utf-8").rstrip(), "```\n"]
    return "\n".join(lines)


def api_pages() -> dict[str, str]:
    """Return the pages of the Python API, by name; each class and function is on one page, once."""
    listed = {name: resolve(name) for area in AREAS.values() for name in area.names}
    done = {id(each) for each in listed.values()}
    pages = {}
    for page, area in AREAS.items():
        more = {
            id(each): name for room in area.rooms for name, each in room_names(room).items() if id(each) not in done
        }
        done |= more.keys()
        pages[page] = api_page(area._replace(names=(*dict.fromkeys(area.names), *more.values())))

    return pages


def resolve(name: str) -> object:
    """Return the object with a name in `dvspipe`."""
    module, _, short = f"dvspipe.{name}".rpartition(".")
    found: object = pkgutil.resolve_name(f"{module}:{short}")
    return found


def room_names(room: str) -> dict[str, object]:
    """Return the public classes and functions of a room, by name in `dvspipe`."""
    module: Any = pkgutil.resolve_name(f"dvspipe.{room}")
    found = {f"{room}.{name}": getattr(module, name) for name in getattr(module, "__all__", vars(module))}
    package = module.__name__

    return {
        name: each
        for name, each in found.items()
        if (inspect.isclass(each) or inspect.isfunction(each))
        and (hasattr(module, "__all__") or each.__module__ == package)
        and not name.rpartition(".")[2].startswith("_")
    }


def api_page(area: Area) -> str:
    """Return the page of an area of the Python API."""
    lines = [area.title, "=" * len(area.title), "", area.text, ""]
    for name in area.names:
        module, _, short = f"dvspipe.{name}".rpartition(".")
        found = resolve(name)
        lines += [f"{name}", "-" * len(name), ""]
        kind = "autoclass" if inspect.isclass(found) else "autofunction"
        lines += [f".. {kind}:: {module}.{short}"]
        lines += ["   :members:", "   :exclude-members: model_config"] if kind == "autoclass" else []
        lines += ["   :inherited-members:"] if found is dvspipe.Events else []  # methods of EventMethods
        lines.append("")

    return "\n".join(lines)


if __name__ == "__main__":
    write_pages()
    print(GENERATED)
