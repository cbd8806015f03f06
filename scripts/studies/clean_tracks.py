"""Convert motion capture with terms that allow products to tracks.

python scripts/studies/clean_tracks.py CMU MHAD HDM05 OUT

CMU, MHAD and HDM05 are folders that contain the downloaded files, at any depth; a folder that does not exist is
reported and skipped. Writes OUT/<class>/<source>-<person>_<file>.csv for `dvspipe synth gestures --tracks OUT` and
`scripts/studies/joints.py`, and prints the clips, the people and the terms of each source. Folders that are not a class
of DVS128 Gesture count as other gestures.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dvspipe.base.errors import DvspipeError
from dvspipe.pose import Side, Track, find_movement, read_track

RATE_HZ = 60  # written tracks; fast claps need more than the 30 Hz of films
WAVE = "wave"  # clips whose hand the list of clips does not tell
WAVES: Mapping[tuple[Side, ...], str] = {("right",): "right_hand_wave", ("left",): "left_hand_wave"}


@dataclass(frozen=True)
class Source:
    """Public motion capture.

    Args:
        name: Short name.
        terms: Terms of use, as its owners state them, and where.
        citation: What its owners ask users to cite.
        clip: Regular expression of the file names, without suffix; its groups are `person` and `clip`.
        classes: Class of each clip: the value of group `clip`.
    """

    name: str
    terms: str
    citation: str
    clip: re.Pattern[str]
    classes: Mapping[str, str]


# Clips of several movements are left out, such as "direct traffic, wave, point" (13_26 to 13_28, 14_24 to 14_26).
CMU = Source(
    name="cmu",
    terms='"free for all uses"; may be included in commercially sold products, but not resold directly, even converted '
    "(mocap.cs.cmu.edu)",
    citation="The data used in this project was obtained from mocap.cs.cmu.edu. The database was created with funding "
    "from NSF EIA-0196217.",
    clip=re.compile(r"(?P<clip>(?P<person>\d+)_\d+)"),
    classes={
        **dict.fromkeys(("111_37", "113_27", "141_16", "143_25"), WAVE),
        "15_08": "arm_roll",
        **dict.fromkeys(("79_18", "80_13"), "air_drums"),
        **dict.fromkeys(("13_20", "13_21", "13_22", "14_10", "14_11", "14_12"), "wash_windows"),
        **dict.fromkeys(("79_44", "143_26", "143_27"), "wash_windows"),
        **dict.fromkeys(("02_10", "79_90"), "wash"),
        **dict.fromkeys(("26_02", "27_02", "27_06", "28_01", "28_05", "29_02", "29_07"), "basketball_signals"),
        **dict.fromkeys(("30_01", "30_07", "31_01", "31_05", "32_03", "32_07"), "basketball_signals"),
        **dict.fromkeys(("40_12", "41_10", "41_11"), "basketball_signals"),
        **dict.fromkeys(("18_08", "18_09", "18_10", "18_11"), "talk_with_gestures"),
        **dict.fromkeys(("19_08", "19_09", "19_10", "19_11", "139_25"), "talk_with_gestures"),
        **dict.fromkeys(("13_14", "13_15", "13_16", "14_17", "14_18", "14_19", "79_70", "80_44"), "laugh"),
        **dict.fromkeys(("79_12", "79_15", "79_42", "80_24", "80_33"), "eat"),
        **dict.fromkeys(("79_36", "79_37", "80_25", "80_26"), "phone"),
        **dict.fromkeys(("79_02", "79_03", "80_72"), "swim"),
        "79_85": "type",
        **dict.fromkeys(("42_01", "77_21", "83_22", "141_13", "143_30"), "stretch"),
        "120_04": "conduct",
    },
)
MHAD = Source(
    name="mhad",
    terms="check its page, tele-immersion.citris-uc.org/berkeley_mhad, before use",
    citation="F. Ofli, R. Chaudhry, G. Kurillo, R. Vidal, R. Bajcsy: Berkeley MHAD: A comprehensive multimodal human "
    "action database. WACV 2013.",
    clip=re.compile(r"skl_(?P<person>s\d+)_(?P<clip>a\d+)_r\d+"),
    classes={
        "a01": "jump",
        "a02": "jumping_jacks",
        "a03": "bend",
        "a04": "punch",
        "a05": "two_hand_wave",
        "a06": "right_hand_wave",
        "a07": "hand_clapping",
        "a08": "throw",
        "a09": "sit_and_stand",
        "a10": "sit_down",
        "a11": "stand_up",
    },
)
# Lying people are left out, and circles of one arm, which turn about the axis through the shoulders.
HDM05 = Source(
    name="hdm05",
    terms="CC BY-SA 3.0 (resources.mpi-inf.mpg.de/HDM05)",
    citation="M. Müller, T. Röder, M. Clausen, B. Eberhardt, B. Krüger, A. Weber: Documentation Mocap Database HDM05. "
    "Technical report CG-2007-2, Universität Bonn, 2007. The data used in this project was obtained from HDM05.",
    clip=re.compile(r"HDM_(?P<person>[a-z]+)_(?P<clip>[A-Za-z]+?)(\d+(Reps|Steps|hops)[A-Za-z]*)?_\d+_\d+"),
    classes={
        "clap": "hand_clapping",
        "clapAboveHead": "clap_above_head",
        "depositFloorR": "put_down",
        "depositHighR": "put_up",
        "elbowToKnee": "elbow_to_knee",
        "grabFloorR": "pick_up",
        "grabHighR": "reach_up",
        "hitRHandHead": "hit",
        "hopBothLegs": "hop",
        "jogLeftCircle": "jog",
        "jumpingJack": "jumping_jacks",
        "kickLFront": "kick",
        "punchLFront": "punch",
        "punchRFront": "punch",
        "rotateArmsBothBackward": "arm_circles",
        "rotateArmsBothForward": "arm_circles",
        "skier": "ski",
        "sneak": "sneak",
        "squat": "squat",
        "throwBasketball": "throw",
        "throwSittingHighR": "throw",
        "throwStandingHighR": "throw",
        "walk": "walk",
    },
)
SOURCES = (CMU, MHAD, HDM05)


def find_class(name: str, track: Track) -> str:
    """Return the class of a clip; the hand of a wave is the hand that moves."""
    return name if name != WAVE else WAVES.get(find_movement(track).sides, "two_hand_wave")


def reduce_rate(track: Track) -> Track:
    """Drop pictures to get about RATE_HZ."""
    step = max(1, round(track.rate_hz / RATE_HZ))
    return track.select(np.arange(len(track.times_us)) % step == 0)


def convert(source: Source, folder: Path, out: Path) -> dict[str, list[str]]:
    """Write the tracks of a source, and return the people of the clips of each class."""
    people = defaultdict[str, list[str]](list)
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".amc", ".bvh")):
        named = source.clip.fullmatch(path.stem)
        if named is None or named["clip"] not in source.classes:
            continue

        try:
            track = read_track(path)
            name = find_class(source.classes[named["clip"]], track)
        except DvspipeError as error:
            print(error, file=sys.stderr)
            continue

        (out / name).mkdir(parents=True, exist_ok=True)
        reduce_rate(track).write(out / name / f"{source.name}-{named['person']}_{path.stem}.csv")
        people[name].append(named["person"])

    return people


def main() -> None:
    """Convert the clips of all sources."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for source in SOURCES:
        parser.add_argument(source.name, type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()

    for source in SOURCES:
        folder = getattr(arguments, source.name)
        print(f"\n{source.name}: {source.terms}\nCite: {source.citation}\n")
        if not folder.is_dir():
            wanted = ", ".join(f"{clip} ({name})" for clip, name in source.classes.items())
            print(f"{folder}: not a folder; skipped. Clips: {wanted}")
            continue

        print("| class | clips | people |\n|---|---|---|")
        for name, people in sorted(convert(source, folder, arguments.out).items()):
            print(f"| {name} | {len(people)} | {len(set(people))} |")


if __name__ == "__main__":
    main()
