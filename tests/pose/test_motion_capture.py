"""Motion capture files in ASF/AMC and BVH against joints whose places are known, and against each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from dvspipe.base.errors import FormatError
from dvspipe.pose import Track, read_track
from dvspipe.pose.acclaim import read_amc
from dvspipe.pose.bvh import read_bvh
from dvspipe.synthesis.tracked import TrackedMovement

CM = 0.01
# A person in T-pose, in cm: parent, offset from the parent's origin. The arms are as long as an adult's.
TORSO_CM, SHOULDER_CM, UPPER_CM, FORE_CM, HAND_CM = 50.0, 18.0, 30.0, 25.0, 9.0
BODY = {
    "spine": ("root", (0, 0, 0)),
    "head": ("spine", (0, TORSO_CM + 10, 0)),
    "lfemur": ("root", (9, 0, 0)),
    "rfemur": ("root", (-9, 0, 0)),
    "lhumerus": ("spine", (SHOULDER_CM, TORSO_CM, 0)),
    "lradius": ("lhumerus", (UPPER_CM, 0, 0)),
    "lhand": ("lradius", (FORE_CM, 0, 0)),
    "lfingers": ("lhand", (HAND_CM, 0, 0)),
    "rhumerus": ("spine", (-SHOULDER_CM, TORSO_CM, 0)),
    "rradius": ("rhumerus", (-UPPER_CM, 0, 0)),
    "rhand": ("rradius", (-FORE_CM, 0, 0)),
    "rfingers": ("rhand", (-HAND_CM, 0, 0)),
}
# Angles about x, y and z in degrees, per picture and joint; the root turns, the right arm is raised and bent.
MOTION = (
    {},
    {"rhumerus": (0, 0, -90)},
    {"root": (0, 90, 0), "rhumerus": (0, 0, -90), "rradius": (0, 0, -90)},
    {
        "root": (5, 40, -10),
        "spine": (10, 20, 5),
        "lhumerus": (30, -40, 50),
        "lradius": (15, 60, -20),
        "lhand": (40, 0, 9),
    },
)


def write_bvh(path: Path, body: Mapping[str, tuple[str, tuple[float, ...]]] = BODY, scale: float = 1.0) -> Path:
    """Write the movement as BVH; rotations are listed as z, y, x, the order in which they are multiplied."""
    order = ["root"]

    def describe(name: str, offset: tuple[float, ...], depth: int) -> list[str]:
        kind = "JOINT" if depth else "ROOT"
        channels = "Xposition Yposition Zposition " if not depth else ""
        place = " ".join(f"{scale * number:g}" for number in offset)
        lines = [f"{kind} {name}", "{", f"OFFSET {place}"]
        lines.append(f"CHANNELS {len(channels.split()) + 3} {channels}Zrotation Yrotation Xrotation")
        children = [child for child, (parent, _) in body.items() if parent == name]
        for child in children:
            order.append(child)
            lines += describe(child, body[child][1], depth + 1)
        if not children:
            lines += ["End Site", "{", "OFFSET 0 0 0", "}"]
        return [*lines, "}"]

    lines = ["HIERARCHY", *describe("root", (0, 0, 0), 0), "MOTION", f"Frames: {len(MOTION)}", "Frame Time: 0.025"]
    for picture in MOTION:
        angles = [f"{angle:g}" for name in order for angle in reversed(picture.get(name, (0, 0, 0)))]
        lines.append(" ".join(["1 2 3", *angles]))

    path.write_text("\n".join(lines) + "\n")
    return path


def write_amc(folder: Path) -> Path:
    """Write the movement as ASF and AMC: a fixed bone leads to each joint, and a bone without length turns."""
    unit_cm = 2.54 / 0.45
    bones = ["begin", "name spine", "direction 0 1 0", "length 0", "axis 0 0 0 XYZ", "dof rx ry rz", "end"]
    hierarchy = ["root spine"]
    for name, (parent, offset) in BODY.items():
        if name == "spine":
            continue

        length = float(np.linalg.norm(offset))
        direction = " ".join(f"{number / length:.17g}" for number in offset)
        bones += ["  begin", f"  name to_{name}", f"  direction {direction}", f"  length {length / unit_cm:.17g}"]
        bones += ["  axis 0 0 0 XYZ", "  end"]
        bones += ["  begin", f"  name {name}", "  direction 1 0 0", "  length 0", "  axis 0 0 0 XYZ", "  dof rx ry rz"]
        bones += ["  limits (-180 180)", "         (-180 180)", "         (-180 180)", "  end"]
        hierarchy += [f"{parent} to_{name}", f"to_{name} {name}"]

    root = ["  order TX TY TZ RX RY RZ", "  axis XYZ", "  position 0 0 0", "  orientation 0 0 0"]
    header = [
        "# a person",
        ":version 1.10",
        ":name P",
        ":units",
        "  length 0.45",
        "  angle deg",
        ":documentation",
        "  text",
    ]
    lines = [*header, ":root", *root, ":bonedata", *bones, ":hierarchy", "  begin", *hierarchy, "  end"]
    (folder / "P.asf").write_text("\n".join(lines) + "\n")

    lines = ["#!OML:ASF", ":FULLY-SPECIFIED", ":DEGREES"]
    for number, picture in enumerate(MOTION, start=1):
        lines.append(str(number))
        for name in ("root", *BODY):
            place = ["1 2 3"] if name == "root" else []
            angles = [f"{angle:g}" for angle in picture.get(name, (0, 0, 0))]
            lines.append(" ".join([name, *place, *angles]))

    path = folder / "P_01.amc"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def bvh(tmp_path: Path) -> Path:
    return write_bvh(tmp_path / "P.bvh")


@pytest.fixture
def amc(tmp_path: Path) -> Path:
    return write_amc(tmp_path)


def place(track: Track, picture: int, joint: str) -> list[float]:
    """Return a joint in cm, rounded."""
    return (track.point(joint)[picture] / CM).round(3).tolist()


@pytest.mark.parametrize("kind", ["bvh", "amc"])
def test_joints_are_where_the_rotations_put_them(kind: str, request: pytest.FixtureRequest) -> None:
    track = read_track(request.getfixturevalue(kind))

    # T-pose: x from the right to the left shoulder.
    assert place(track, 0, "left_wrist") == [SHOULDER_CM + UPPER_CM + FORE_CM, 0, 0]
    assert place(track, 0, "right_wrist") == [-SHOULDER_CM - UPPER_CM - FORE_CM, 0, 0]
    assert place(track, 0, "right_hip") == [-9, -TORSO_CM, 0]

    # A turn of the right arm by -90 degrees about z raises it; its thumb stays in front.
    assert place(track, 1, "right_wrist") == [-SHOULDER_CM, UPPER_CM + FORE_CM, 0]
    index, pinky = track.point("right_index")[1], track.point("right_pinky")[1]
    assert ((index - pinky) / np.linalg.norm(index - pinky)).round(6).tolist() == [0, 0, 1]

    # The body's frame turns with the person; after a left turn, the left shoulder is away from the camera.
    assert track.yaw[2] == pytest.approx(np.pi / 2)
    assert place(track, 2, "right_wrist") == [-SHOULDER_CM + FORE_CM, UPPER_CM, 0]


def test_both_formats_give_the_same_track(bvh: Path, amc: Path) -> None:
    one = read_bvh(bvh)
    other = read_amc(amc)

    np.testing.assert_allclose(one.points_m, other.points_m, atol=1e-9)
    np.testing.assert_allclose(one.yaw, other.yaw, atol=1e-9)
    assert (np.diff(one.times_us) == 25_000).all()
    assert other.times_us.tolist() == [0, 8_333, 16_667, 25_000]


@pytest.mark.parametrize("scale", [0.01, 10, 1 / 2.54])
def test_the_unit_of_length_is_found(tmp_path: Path, bvh: Path, scale: float) -> None:
    other = write_bvh(tmp_path / "other.bvh", scale=scale)
    np.testing.assert_allclose(read_bvh(other).points_m, read_bvh(bvh).points_m, rtol=1e-4, atol=1e-6)


def test_names_of_other_tools_are_found(tmp_path: Path, bvh: Path) -> None:
    parts = {"humerus": "Arm", "radius": "ForeArm", "hand": "Hand", "femur": "UpLeg", "fingers": "FingerBase"}
    sides = {"l": "Left", "r": "Right"}
    names = {f"{side}{part}": f"mixamorig:{sides[side]}{parts[part]}" for side in sides for part in parts}
    body = {names.get(name, name): (names.get(parent, parent), offset) for name, (parent, offset) in BODY.items()}

    text = write_bvh(tmp_path / "other.bvh", body)
    np.testing.assert_allclose(read_bvh(text).points_m[0], read_bvh(bvh).points_m[0])


def test_the_axes_of_a_bone_turn_its_rotation(amc: Path) -> None:
    """With axes C turned by 90 degrees about z, a rotation about the bone's x is one about y in the file's axes."""
    skeleton = amc.with_name("P.asf")
    text = skeleton.read_text()
    start = text.index("name lhumerus")
    skeleton.write_text(text[:start] + text[start:].replace("axis 0 0 0 XYZ", "axis 0 0 90 XYZ", 1))
    text = amc.read_text()
    amc.write_text(text.replace("lhumerus 0 0 0", "lhumerus -90 0 0", 1))

    assert place(read_amc(amc), 0, "left_wrist") == [SHOULDER_CM, 0, UPPER_CM + FORE_CM]


def test_radians_and_shuffled_bones_are_read(amc: Path) -> None:
    expected = read_amc(amc)
    lines = []
    for line in amc.read_text().replace(":DEGREES", ":RADIANS").splitlines():
        name, *values = line.split()
        rotations = [f"{np.deg2rad(float(value)):.17g}" for value in values[-3:]]
        lines.append(" ".join([name, *values[:-3], *rotations]))
    bones = len(BODY) + 1
    for start in range(len(lines) - bones, 3, -bones - 1):
        lines[start : start + bones] = reversed(lines[start : start + bones])

    amc.write_text("\n".join(lines))
    np.testing.assert_allclose(read_amc(amc).points_m, expected.points_m, atol=1e-9)


def test_a_person_can_perform_the_movement(amc: Path) -> None:
    movement = TrackedMovement.from_track(read_amc(amc), min_s=0.02)
    # Right arm raised: the wrist is an arm's length above the shoulder.
    np.testing.assert_allclose(movement.arms[1, 0, 1], [0, 1, 0], atol=1e-9)


def test_damaged_bvh_files_are_refused_in_one_line(bvh: Path) -> None:
    text = bvh.read_text()
    for damaged, fact in (
        ("", "truncated"),
        ("\x00\xff\xfe", "not a valid BVH"),
        (text[:300], "truncated"),
        (text.replace("Frames: 4", "Frames: 5"), "5 pictures"),
        (text.replace("Frames: 4", "Frames: -1"), "-1 pictures"),
        (text.replace("Frames: 4", "Frames: four"), "four"),
        (text.replace("Frame Time: 0.025", "Frame Time: 0"), "0 s"),
        (text.replace("Frame Time: 0.025", "Frame Time: 1e300"), "1e+300 s"),
        (text.replace("Zrotation", "Wrotation", 1), "Wrotation"),
        (text.replace("lradius", "left_something"), "no left elbow"),
        (text.replace("OFFSET 18 50 0", "OFFSET 18 nan 0"), "nan"),
        (text.replace("OFFSET 18 50 0", "OFFSET 18 -50 0"), "rest pose"),
        (text.replace("}\nMOTION", "MOTION"), "open"),
        (text.replace("1 2 3", "1 2 inf", 1), "pictures"),
    ):
        bvh.write_bytes(damaged.encode("latin-1"))
        with pytest.raises(FormatError) as error:
            read_bvh(bvh)
        assert fact in str(error.value)
        assert str(error.value).startswith(str(bvh))
        assert "\n" not in str(error.value)


def test_damaged_amc_files_are_refused_in_one_line(amc: Path) -> None:
    text = amc.read_text()
    for damaged, fact in (
        ("", "no pictures"),
        (text[: text.rindex("rhand")], "picture 4"),
        (text[:-2], "expected 3 numbers"),
        (text.replace("lhumerus 0 0 0", "lhumerus 0 0", 1), "expected 3 numbers"),
        (text.replace("lhumerus 0 0 0", "lhumerus 0 0 x", 1), "expected 3 numbers"),
        (text.replace("lhumerus 0 0 0", "tail 0 0 0", 1), "tail"),
        (text.replace("\nlhumerus 0 0 0", "", 1), "lhumerus"),
        ("root 1 2 3 0 0 0\n", "root"),
    ):
        amc.write_text(damaged)
        with pytest.raises(FormatError) as error:
            read_amc(amc)
        assert fact in str(error.value)
        assert str(error.value).startswith(str(amc))
        assert "\n" not in str(error.value)


def test_damaged_skeletons_are_refused_in_one_line(amc: Path) -> None:
    skeleton = amc.with_name("P.asf")
    text = skeleton.read_text()
    for damaged, fact in (
        ("", "not an ASF file"),
        (text[: text.index(":hierarchy")], "not an ASF file"),
        (text.replace("direction 1 0 0", "direction 1 0", 1), "expected 3 numbers"),
        (text.replace("length 0\n", "length\n", 1), "expected 1 number"),
        (text.replace("axis 0 0 0 XYZ", "axis 0 0 0 XYW", 1), "XYW"),
        (text.replace("dof rx ry rz", "dof rx ry rw", 1), "rw"),
        (text.replace("root spine", "root tail"), "tail"),
        (text.replace("root spine", "root spine\nspine root"), "root"),
        (text.replace(":root", ":rooot"), "root"),
    ):
        skeleton.write_text(damaged)
        with pytest.raises(FormatError) as error:
            read_amc(amc)
        assert fact in str(error.value)
        assert str(error.value).startswith(str(skeleton))
        assert "\n" not in str(error.value)

    skeleton.unlink()
    with pytest.raises(FormatError, match="no skeleton"):
        read_amc(amc)
