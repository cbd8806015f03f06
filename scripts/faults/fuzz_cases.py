"""Cases of `fuzz_formats.py`: the number of a case determines the seed recording and its changes."""

from __future__ import annotations

import gzip
import os
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fuzz_seeds import Seed

from dvspipe.events import SensorSize

BOMB_BYTES = 64 << 20
HEAD_BYTES = 256
SPECIALS = ("empty", "folder", "device", "pipe", "nowhere", "bomb")
EXTREMES = (b"\0", b"\xff", b"\x7f", b"\x80", b"\x01")
NUMBERS = (b"0", b"-1", b"1e999", b"99999999999999999999", b"2147483648", b"32768", b"nan", b"4294967295")


@dataclass(frozen=True)
class Case:
    """File to read.

    Args:
        seed: Original recording.
        content: Content of the file; None for special files.
        suffix: Suffix of the file name.
        changes: Names of the changes to the seed.
        sensor: Sensor passed to the reader.
    """

    seed: Seed
    content: bytes | None
    suffix: str
    changes: tuple[str, ...]
    sensor: SensorSize | None = None


def flip(rng: random.Random, data: bytearray, _other: bytes) -> None:
    for _ in range(rng.randint(1, 8)):
        data[_position(rng, data)] ^= 1 << rng.randrange(8)


def set_extremes(rng: random.Random, data: bytearray, _other: bytes) -> None:
    position = _position(rng, data)
    count = rng.choice((1, 2, 4, 8))
    data[position : position + count] = rng.choice(EXTREMES) * count


def set_number(rng: random.Random, data: bytearray, _other: bytes) -> None:
    """Change a decimal number in the text, for example in a header."""
    found = [*re.finditer(rb"\d+", bytes(data[: rng.choice((HEAD_BYTES, 1 << 14))]))]
    if found:
        start, stop = rng.choice(found).span()
        data[start:stop] = rng.choice(NUMBERS)


def randomise(rng: random.Random, data: bytearray, _other: bytes) -> None:
    """Replace all bytes after a random position by random bytes."""
    position = _position(rng, data)
    data[position:] = rng.randbytes(len(data) - position)


def blank(rng: random.Random, data: bytearray, _other: bytes) -> None:
    position = _position(rng, data)
    count = rng.randint(1, 4096)
    data[position : position + count] = bytes(len(data[position : position + count]))


def drop(rng: random.Random, data: bytearray, _other: bytes) -> None:
    position = _position(rng, data)
    del data[position : position + rng.choice((1, 2, 7, 64, 1000))]


def repeat(rng: random.Random, data: bytearray, _other: bytes) -> None:
    position = _position(rng, data)
    data[position:position] = data[position : position + rng.choice((1, 3, 8, 500))] * rng.choice((1, 2, 50))


def graft(rng: random.Random, data: bytearray, other: bytes) -> None:
    """Replace all bytes after a random position by bytes of another file of any format."""
    position = _position(rng, data)
    data[position:] = other[rng.randrange(len(other)) :]


MUTATIONS: tuple[Callable[[random.Random, bytearray, bytes], None], ...] = (
    flip,
    flip,
    set_extremes,
    set_extremes,
    set_number,
    randomise,
    blank,
    drop,
    repeat,
    graft,
)


def _position(rng: random.Random, data: bytearray) -> int:
    """Return a random position, with probability 1/2 within the first HEAD_BYTES."""
    return rng.randrange(max(1, min(len(data), HEAD_BYTES) if rng.random() < 0.5 else len(data)))


def make_case(number: int, seeds: list[Seed]) -> Case:
    """Return a case: special files for the first numbers, then truncations and mutations, some inside gzip."""
    if number < len(seeds) * len(SPECIALS):
        seed = seeds[number // len(SPECIALS)]
        special = SPECIALS[number % len(SPECIALS)]
        if special == "bomb":
            if seed.bomb:
                return Case(seed, seed.bomb(), seed.suffix, (special,))
            return Case(seed, gzip.compress(seed.content + bytes(BOMB_BYTES), 1), f"{seed.suffix}.gz", (special,))

        return Case(seed, b"" if special == "empty" else None, seed.suffix, (special,))

    rng = random.Random(number)
    seed = rng.choice(seeds)
    other = rng.choice(seeds).content
    sensor = rng.choice((seed.sensor, None))
    suffix = rng.choice(seeds).suffix if rng.random() < 0.05 else seed.suffix

    if rng.random() < 0.2:
        content = gzip.compress(seed.content, 1) if rng.random() < 0.2 else seed.content
        changes = ("cut",) if suffix == seed.suffix else ("cut", "renamed")
        return Case(seed, content[: rng.randrange(len(content))], suffix, changes, sensor)

    data = bytearray(seed.content)
    names = []
    packed = rng.random()
    if packed < 0.1:
        data = bytearray(gzip.compress(bytes(data), 1))
    for _ in range(rng.choice((1, 1, 2, 3))):
        mutation = rng.choice(MUTATIONS)
        if data:
            mutation(rng, data, other)
            names.append(mutation.__name__)

    return Case(seed, gzip.compress(bytes(data), 1) if packed > 0.95 else bytes(data), suffix, tuple(names), sensor)


def create_file(case: Case, path: Path) -> None:
    """Create the file of a case."""
    if case.content is not None:
        path.write_bytes(case.content)
    elif case.changes == ("folder",):
        path.mkdir()
    elif case.changes == ("pipe",):
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero" if case.changes == ("device",) else path.with_name("nowhere"))
