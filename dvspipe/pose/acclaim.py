"""Acclaim motion capture: a skeleton in an ASF file, and its movement in an AMC file.

A bone starts at its parent's end. Its rotation M is given in its own axes C, so relative to its parent, and in the axes
of the file, a bone turns by C M C^-1 (Lander, "Working with motion capture file formats", Game Developer, 1998).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..base.errors import FormatError
from ..base.files import read_bytes
from .network import Floats
from .skeletons import Skeleton, rotate_about, to_track
from .track import Track

RATE_HZ = 120.0  # CMU and HDM05; the files do not state it
ROOT = "root"
_DEGREES_OF_FREEDOM = frozenset({"rx", "ry", "rz", "tx", "ty", "tz", "l"})


@dataclass(frozen=True, eq=False)
class _Bone:
    """Bone of an ASF file: vector from its start to its end in the rest pose [3], axes C [3, 3], and what varies."""

    vector: Floats
    axes: Floats
    freedom: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Body:
    """Bones of an ASF file by name, the parent of each (parents first; empty for the root), and the unit of angles."""

    bones: Mapping[str, _Bone]
    parents: Mapping[str, str]
    radians: float


def read_amc(path: Path, skeleton: Path | None = None) -> Track:
    """Read a track from an AMC file.

    Args:
        path: AMC file.
        skeleton: ASF file; default: the file in the same folder whose name starts the name of the AMC file
            (`111.asf` for `111_37.amc`, `HDM_bd.asf` for `HDM_bd_squat_001.amc`).

    Raises:
        FileError: If a file is missing or cannot be read.
        FormatError: If a file is not valid, or the skeleton is not a person.
    """
    body = _read_asf(_find_skeleton(path) if skeleton is None else skeleton)
    values, radians = _read_values(path, body)

    # A joint is the start of a bone. The ends of bones without children are joints, too.
    names = list(body.parents)
    tips = [name for name in names if name not in body.parents.values()]
    parents = [*body.parents.values(), *tips]
    joints = Skeleton(
        (*names, *(f"{name} end" for name in tips)),
        tuple(names.index(parent) if parent else -1 for parent in parents),
        np.array([body.bones[parent].vector if parent else np.zeros(3) for parent in parents]),
    )

    rotations = np.tile(np.eye(3), (len(values[ROOT]), len(joints.names), 1, 1))
    for name, rows in values.items():
        bone = body.bones[name]
        rotations[:, names.index(name)] = bone.axes @ _compose(bone.freedom, radians * rows) @ bone.axes.T

    return to_track(path, joints, rotations, RATE_HZ)


def _find_skeleton(path: Path) -> Path:
    """Return the ASF file beside an AMC file; the longest matching name wins."""
    fitting = [
        other
        for other in sorted(path.parent.glob("*"))
        if other.suffix.lower() == ".asf" and path.stem.lower().startswith(other.stem.lower())
    ]
    if not fitting:
        raise FormatError(f"{path}: no skeleton (found no ASF file beside it whose name starts this name)")
    return max(fitting, key=lambda other: len(other.stem))


def _compose(freedom: Sequence[str], values: Floats) -> Floats:
    """Return rotations [N, 3, 3] for values [N, F] in radians: the first one is applied first."""
    turn = np.tile(np.eye(3), (len(values), 1, 1))
    for name, column in zip(freedom, values.T, strict=True):
        if name[0] == "r":
            turn = rotate_about("xyz".index(name[1]), column) @ turn
    return turn


def _read_lines(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the place and the words of each line that is not empty or a comment."""
    for number, line in enumerate(read_bytes(path).decode("latin-1").splitlines(), start=1):
        words = line.partition("#")[0].split()
        if words:
            yield f"{path}: line {number}", words


def _read_numbers(where: str, words: Sequence[str], count: int) -> Floats:
    try:
        numbers = np.array([float(word) for word in words])
    except ValueError:
        numbers = np.empty(0)
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise FormatError(f"{where}: wrong values (found {' '.join(words)[:60]!r}, expected {count} numbers)")
    return numbers


def _read_asf(path: Path) -> _Body:
    section = ""
    radians = np.pi / 180
    fields: dict[str, list[str]] = {}
    bones: dict[str, _Bone] = {}
    parents = {ROOT: ""}

    for where, words in _read_lines(path):
        key = words[0].lower()
        if key.startswith(":"):
            # The root is like a bone without length.
            if section == ":root":
                bones[ROOT] = _make_bone(where, _describe_root(fields), radians)
            section = key
            fields = {}
        elif section == ":units" and key == "angle":
            radians = np.pi / 180 if words[-1].lower().startswith("deg") else 1.0
        elif section == ":bonedata" and key == "begin":
            fields = {}
        elif section == ":bonedata" and key == "end":
            bones[" ".join(fields.get("name", []))] = _make_bone(where, fields, radians)
        elif section in (":root", ":bonedata"):
            fields[key] = words[1:]
        elif section == ":hierarchy" and key not in ("begin", "end"):
            parents |= _list_children(where, words, bones, parents)

    if len(parents) < 2:
        raise FormatError(f"{path}: not an ASF file, or truncated (found {len(bones)} bones without a hierarchy)")
    return _Body(bones, parents, radians)


def _describe_root(fields: Mapping[str, list[str]]) -> dict[str, list[str]]:
    orientation = fields.get("orientation", ["0", "0", "0"])
    return {
        "dof": fields.get("order", []),
        "axis": [*orientation, *fields.get("axis", ["XYZ"])],
        "direction": ["0", "0", "0"],
        "length": ["0"],
    }


def _make_bone(where: str, fields: Mapping[str, list[str]], radians: float) -> _Bone:
    """Return the bone that ends in a line."""
    direction = _read_numbers(f"{where}: direction", fields.get("direction", []), 3)
    length = _read_numbers(f"{where}: length", fields.get("length", []), 1)

    *angles, order = fields.get("axis", [""])
    turns = [f"r{letter}" for letter in order.lower()]
    freedom = tuple(word.lower() for word in fields.get("dof", []))
    unknown = sorted({*turns, *freedom} - _DEGREES_OF_FREEDOM)
    if unknown or len(turns) != 3:
        found = f"{order[:20]!r} and {' '.join(freedom)[:40]!r}"
        raise FormatError(f"{where}: wrong axis or dof (found {found}, expected such as 'XYZ' and 'rx rz')")

    axes = _compose(turns, radians * _read_numbers(f"{where}: axis", angles, 3)[None])[0]
    return _Bone(length * direction, axes, freedom)


def _list_children(
    where: str, words: Sequence[str], bones: Mapping[str, _Bone], parents: Mapping[str, str]
) -> dict[str, str]:
    """Return the children in a line of the hierarchy with their parent."""
    parent, *children = words
    for name in words:
        if name not in bones or (name in parents) != (name == parent):
            raise FormatError(f"{where}: wrong hierarchy (found {name[:40]!r}, expected each bone once)")
    return dict.fromkeys(children, parent)


def _read_values(path: Path, body: _Body) -> tuple[dict[str, Floats], float]:
    """Return the values of each bone that moves, [N, F], and the unit of angles in radians."""
    radians = body.radians
    moving = {name for name in body.parents if body.bones[name].freedom}
    rows: dict[str, list[Floats]] = {name: [] for name in moving}
    pictures = 0

    for where, (name, *words) in _read_lines(path):
        if name.startswith(":"):
            radians = {":degrees": np.pi / 180, ":radians": 1.0}.get(name.lower(), radians)
        elif name.isdecimal() and not words:
            _check_complete(where, rows, pictures)
            pictures += 1
        elif name not in rows or len(rows[name]) != pictures - 1:
            raise FormatError(f"{where}: wrong bone (found {name[:40]!r}, expected each moving bone once)")
        else:
            rows[name].append(_read_numbers(where, words, len(body.bones[name].freedom)))

    _check_complete(f"{path}: end", rows, pictures)
    if pictures == 0:
        raise FormatError(f"{path}: not an AMC file (found no pictures)")
    return {name: np.array(values) for name, values in rows.items()}, radians


def _check_complete(where: str, rows: Mapping[str, list[Floats]], pictures: int) -> None:
    missing = sorted(name for name, values in rows.items() if len(values) != pictures)
    if missing:
        raise FormatError(f"{where}: incomplete picture {pictures} (found no values of {', '.join(missing)[:80]})")
