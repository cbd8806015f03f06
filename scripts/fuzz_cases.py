"""Cases for `fuzz_formats.py`: what is done to a seed, chosen by the number of the case."""

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
    """A file to read: of a seed, made by something done to it; the bytes are None where it is no file."""

    seed: Seed
    content: bytes | None
    suffix: str
    done: tuple[str, ...]
    sensor: SensorSize | None = None


def flip(rng: random.Random, data: bytearray, _other: bytes) -> None:
    for _ in range(rng.randint(1, 8)):
        data[_place(rng, data)] ^= 1 << rng.randrange(8)


def set_extremes(rng: random.Random, data: bytearray, _other: bytes) -> None:
    place, count = _place(rng, data), rng.choice((1, 2, 4, 8))
    data[place : place + count] = rng.choice(EXTREMES) * count


def set_number(rng: random.Random, data: bytearray, _other: bytes) -> None:
    """Another number in a text, such as a header's."""
    found = [*re.finditer(rb"\d+", bytes(data[: rng.choice((HEAD_BYTES, 1 << 14))]))]
    if found:
        start, stop = rng.choice(found).span()
        data[start:stop] = rng.choice(NUMBERS)


def randomise(rng: random.Random, data: bytearray, _other: bytes) -> None:
    """Random bytes behind the head."""
    place = _place(rng, data)
    data[place:] = rng.randbytes(len(data) - place)


def blank(rng: random.Random, data: bytearray, _other: bytes) -> None:
    place, count = _place(rng, data), rng.randint(1, 4096)
    data[place : place + count] = bytes(len(data[place : place + count]))


def drop(rng: random.Random, data: bytearray, _other: bytes) -> None:
    place = _place(rng, data)
    del data[place : place + rng.choice((1, 2, 7, 64, 1000))]


def repeat(rng: random.Random, data: bytearray, _other: bytes) -> None:
    place = _place(rng, data)
    data[place:place] = data[place : place + rng.choice((1, 3, 8, 500))] * rng.choice((1, 2, 50))


def graft(rng: random.Random, data: bytearray, other: bytes) -> None:
    """Bytes of another file, of any format."""
    place = _place(rng, data)
    data[place:] = other[rng.randrange(len(other)) :]


MUTATIONS: tuple[Callable[[random.Random, bytearray, bytes], None], ...] = (
    flip, flip, set_extremes, set_extremes, set_number, randomise, blank, drop, repeat, graft,
)  # fmt: skip


def _place(rng: random.Random, data: bytearray) -> int:
    """A place in the data, half of the time in its head."""
    return rng.randrange(max(1, min(len(data), HEAD_BYTES) if rng.random() < 0.5 else len(data)))


def make_case(number: int, seeds: list[Seed]) -> Case:
    """The case of a number: first the specials of all seeds, then cuts and mutations, some inside gzip."""
    if number < len(seeds) * len(SPECIALS):
        seed, special = seeds[number // len(SPECIALS)], SPECIALS[number % len(SPECIALS)]
        if special == "bomb":
            if seed.bomb:
                return Case(seed, seed.bomb(), seed.suffix, (special,))
            return Case(seed, gzip.compress(seed.content + bytes(BOMB_BYTES), 1), f"{seed.suffix}.gz", (special,))
        return Case(seed, b"" if special == "empty" else None, seed.suffix, (special,))
    rng = random.Random(number)
    seed, other = rng.choice(seeds), rng.choice(seeds).content
    sensor = rng.choice((seed.sensor, None))
    suffix = rng.choice(seeds).suffix if rng.random() < 0.05 else seed.suffix
    if rng.random() < 0.2:
        content = gzip.compress(seed.content, 1) if rng.random() < 0.2 else seed.content
        done = ("cut",) if suffix == seed.suffix else ("cut", "renamed")
        return Case(seed, content[: rng.randrange(len(content))], suffix, done, sensor)
    data, names = bytearray(seed.content), []
    packed = rng.random()
    if packed < 0.1:
        data = bytearray(gzip.compress(bytes(data), 1))
    for _ in range(rng.choice((1, 1, 2, 3))):
        mutation = rng.choice(MUTATIONS)
        if data:
            mutation(rng, data, other)
            names.append(mutation.__name__)
    return Case(seed, gzip.compress(bytes(data), 1) if packed > 0.95 else bytes(data), suffix, tuple(names), sensor)


def put(case: Case, path: Path) -> None:
    """Makes what a case is about."""
    if case.content is not None:
        path.write_bytes(case.content)
    elif case.done == ("folder",):
        path.mkdir()
    elif case.done == ("pipe",):
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero" if case.done == ("device",) else path.with_name("nowhere"))
