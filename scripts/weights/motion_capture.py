"""Motion capture of HDM05 (AMC, with the ASF file of the person beside it) and CMU (BVH): places of joints over time.

A joint has the orientation G and the place p. With the orientation H and the place q of its parent, the rotation R of
the file, and the offset o from the parent in the rest pose: G = H R, and p = q + H o. A bone of an ASF file starts at
the end of its parent. Its rotation M is given in its own axes C: R = C M C^-1 (Lander, "Working with motion capture
file formats", Game Developer, 1998).
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from dvspipe.pose.network import Floats

UNIT_M = 0.0254 / 0.45  # both sources
PARTS = {  # joint: its name in HDM05 and CMU, without the side
    "shoulder": ("humerus", "Arm"),
    "elbow": ("radius", "ForeArm"),
    "wrist": ("hand", "Hand"),  # lwrist of HDM05 is the end of the forearm
    "hip": ("femur", "UpLeg"),
    "knuckles": ("fingers", "FingerBase"),
}
FREEDOM = ("rx", "ry", "rz", "tx", "ty", "tz")
ROOT = "name root\n direction 0 0 0\n length 0\n axis 0 0 0\n dof tx ty tz rx ry rz"

# Index and little finger start beside the knuckles, the thumb beside the middle of the hand. In the rest pose, the arms
# are spread with the palms down: the thumb is in front.
KNUCKLE_M = 0.03
THUMB_M = 0.05
NOSE_M = (0.08, 0.1)  # up and forwards from the base of the head


class Joint(NamedTuple):
    """Parent, offset from the parent in the rest pose [3], and rotations relative to the parent [N, 3, 3]."""

    parent: str
    offset: Floats
    turns: Floats


def rotate(degrees: Floats) -> Floats:
    """Return rotations [N, 3, 3] about x, then y, then z by angles [N, 3]."""
    return np.asarray(Rotation.from_euler("xyz", degrees, degrees=True).as_matrix())


def read_numbers(words: str) -> Floats:
    return np.array(words.split()[:3], float)


def read_amc(path: Path) -> dict[str, Floats]:
    """Return the places of the joints, [N, 3] each. The ASF file of HDM_bd_squat_001.amc is HDM_bd.asf."""
    person = "_".join(path.stem.split("_")[:2])
    _, bones, hierarchy = re.split(":bonedata|:hierarchy", path.with_name(f"{person}.asf").read_text())
    fields = [dict(re.findall(r"(\w+) +(.*\S)", bone)) for bone in (ROOT, *bones.split("begin")[1:])]
    by_name = {bone["name"]: bone for bone in fields}
    parents = {"root": ""}
    for line in hierarchy.splitlines()[2:-1]:
        parent, *children = line.split()
        parents |= dict.fromkeys(children, parent)

    values = defaultdict[str, list[list[str]]](list)
    for line in path.read_text("latin-1").splitlines()[3:]:
        name, *numbers = line.split()
        values[name].append(numbers)
    N = len(values["root"])

    # A joint is the start of a bone: its offset is the vector of the parent.
    joints = {}
    for name, parent in parents.items():
        above = by_name.get(parent, by_name["root"])
        offset = float(above["length"]) * read_numbers(above["direction"])
        moving = [FREEDOM.index(word) for word in by_name[name].get("dof", "").split()]
        angles = np.zeros((N, len(FREEDOM)))
        if moving:
            angles[:, moving] = np.array(values[name], float)
        axes = rotate(read_numbers(by_name[name]["axis"]))
        joints[name] = Joint(parent, offset, axes @ rotate(angles[:, :3]) @ axes.T)
    return place(joints)


def read_bvh(path: Path) -> dict[str, Floats]:
    """Return the places of the joints, [N, 3] each. The channels of each joint are rotations about z, y and x."""
    hierarchy, motion = path.read_text().split("MOTION")
    numbers = np.loadtxt(motion.splitlines()[3:])
    angles = iter(np.moveaxis(numbers[:, 3:].reshape(len(numbers), -1, 3), 1, 0)[..., ::-1])

    joints = dict[str, Joint]()
    open_joints = [""]
    for line in hierarchy.splitlines():
        kind, *words = line.split()
        if kind in ("ROOT", "JOINT", "End"):
            open_joints.append(words[0])
        elif kind == "OFFSET" and open_joints[-1] != "Site":
            joints[open_joints[-1]] = Joint(open_joints[-2], np.array(words, float), rotate(next(angles)))
        elif kind == "}":
            open_joints.pop()
    return place(joints)


def move(joints: dict[str, Joint]) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Return places [N, 3] and orientations [N, 3, 3] of joints, parents first."""
    places = {"": np.zeros(3)}
    turns = {"": np.eye(3)}
    for name, joint in joints.items():
        places[name] = places[joint.parent] + turns[joint.parent] @ joint.offset
        turns[name] = turns[joint.parent] @ joint.turns
    return places, turns


def place(joints: dict[str, Joint]) -> dict[str, Floats]:
    """Return the places of the joints of a track in metres."""
    rest, _ = move({name: joint._replace(turns=np.eye(3)) for name, joint in joints.items()})
    places, turns = move(joints)

    names = {"nose": "head" if "head" in joints else "Head"}
    for side in ("left", "right"):
        for part, (bone, joint) in PARTS.items():
            name = f"{side[0]}{bone}"
            names[f"{side}_{part}"] = name if name in joints else f"{side.title()}{joint}"
    points = {part: UNIT_M * places[name] for part, name in names.items()}

    across = rest[names["left_shoulder"]] - rest[names["right_shoulder"]]
    front = np.array([-across[2], 0, across[0]]) / np.hypot(across[0], across[2])
    rise_m, reach_m = NOSE_M
    points["nose"] = points["nose"] + turns[names["nose"]] @ (reach_m * front + (0, rise_m, 0))

    for side in ("left", "right"):
        knuckles = points.pop(f"{side}_knuckles")
        thumbwards = turns[names[f"{side}_wrist"]] @ front
        points[f"{side}_index"] = knuckles + KNUCKLE_M * thumbwards
        points[f"{side}_pinky"] = knuckles - KNUCKLE_M * thumbwards
        points[f"{side}_thumb"] = (points[f"{side}_wrist"] + knuckles) / 2 + THUMB_M * thumbwards
    return points
