"""Detect pieces of one film or recording, to keep them in the same part of a data set.

A file name alone is not enough: `clip_01.mp4` and `clip_02.mp4` may show different people. Two files are pieces only if
their names have consecutive numbers and the second continues the content of the first.
"""

from __future__ import annotations

import logging
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..base.errors import DvspipeError, count_noun
from ..formats import Hints
from ..formats.opening import open_source
from ..video.files import VideoEnds, read_video_ends
from ..video.names import is_video_name
from .config import FilesConfig
from .samples import Sample
from .source import DataSource

NUMBERED = re.compile(r"(?P<begin>.*?)(?P<number>\d{1,9})(?P<end>\D*)")
NAMED = re.compile(r"(.+?)[ _-]+\(?([A-Za-z]*)\d+\)?")  # NAME_01, NAME-2, NAME (3), NAME_c01
MAX_SEPARATE_PAIRS = 10  # give up on a numbered series if its first pairs do not continue
MAX_GAP_US = 100_000  # maximum time from the last event of a piece to the first event of the next
# All 48 pairs of pieces, cut from 7 films and compressed again, are below both limits, at most 0.61 and 2.7. Among
# pairs of different films, one is below the first limit (0.62), but far above the second (13.5).
MAX_SHARE = 0.7  # maximum difference at a cut, relative to the difference of two beginnings or two ends
MAX_STEPS = 3.0  # maximum difference at a cut, relative to the difference of consecutive pictures
MAX_SERIES_SHARE = 1.0  # instead of MAX_SHARE, if MIN_CONTINUED of the pairs of a series continue
MIN_CONTINUED = 0.5  # a movement that repeats itself makes some cuts look like beginnings: shares of 0.73 to 0.94

log = logging.getLogger(__name__)


def keep_pieces_together(
    source: DataSource[FilesConfig], samples: Sequence[Sample], test: Sequence[Sample] = ()
) -> list[Sample]:
    """Return samples in which the pieces of a film have the same group, and log how many there are.

    Samples are unchanged if `data.group` or a split.json is set.
    """
    if source.config.group is not None or isinstance(source.config.split, Path):
        return list(samples)

    files = _list_files(samples)
    others = _list_files(test)
    first_of = find_pieces([*files, *others], source.config.hints)

    films: dict[Path, list[Path]] = {}
    for file in files:
        if file in first_of:
            films.setdefault(first_of[file], []).append(file)

    # A film with pieces in both parts would test on what was trained.
    divided = [(films[first_of[file]][0], file) for file in others if first_of.get(file) in films]

    if divided:
        trained, tested = divided[0]
        log.warning(
            "%s: %s continues, or is continued by, the film of %s in the training part; the test is not independent",
            source.root,
            tested,
            trained,
        )

    films = {first: pieces for first, pieces in films.items() if len(pieces) > 1}
    if not films:
        return list(samples)

    first, second, *_ = next(iter(films.values()))
    log.warning(
        "%s: %d of %d files are pieces of %s, such as %s and %s",
        source.root,
        sum(map(len, films.values())),
        len(files),
        count_noun(len(films), "longer film"),
        first,
        second.name,
    )

    groups: dict[Path | None, str] = {}
    for pieces in films.values():
        groups |= dict.fromkeys(pieces, str(pieces[0]))
    return [replace(sample, group=groups.get(sample.file, sample.group)) for sample in samples]


def find_same_names(train: Iterable[Sample], test: Iterable[Sample]) -> list[tuple[Path, Path]]:
    """Find test files with the name of a training file except for its number; return (test file, training file) pairs.

    They may be cut from the same film with gaps, or show the same person.
    """
    named: defaultdict[tuple[str, ...], list[Path]] = defaultdict(list)
    for file in _list_files(train):
        if match := NAMED.fullmatch(file.stem):
            named[match.groups()].append(file)

    same: list[tuple[Path, Path]] = []
    for file in _list_files(test):
        match = NAMED.fullmatch(file.stem)
        similar = named.get(match.groups(), []) if match else []
        other = next((path for path in similar if path.stem != file.stem), None)
        if other is not None:
            same.append((file, other))

    return same


def _list_files(samples: Iterable[Sample]) -> list[Path]:
    return list(dict.fromkeys(sample.file for sample in samples if sample.file is not None))


def find_pieces(files: Sequence[Path], hints: Hints) -> dict[Path, Path]:
    """Find the files that are pieces; map each to the first file of its film or recording."""
    first_of: dict[Path, Path] = {}
    compare_at_cut = _ContinuationTest(hints)
    for series in _numbered_series(files):
        # A long series of separate recordings is given up after its first pairs: each pair reads two files.
        shares: dict[tuple[Path, Path], float] = {}
        for before, after in series:
            shares[before, after] = compare_at_cut(before, after)
            if len(shares) == MAX_SEPARATE_PAIRS and min(shares.values()) > MAX_SHARE:
                break

        # Most pairs of a film that was cut continue beyond doubt; the others may then be less clear.
        continued = sum(share <= MAX_SHARE for share in shares.values())
        limit = MAX_SERIES_SHARE if continued >= MIN_CONTINUED * len(shares) else MAX_SHARE
        for (before, after), share in shares.items():
            if share <= limit:
                first_of[after] = first_of.setdefault(before, before)

    return first_of


def _numbered_series(files: Iterable[Path]) -> Iterator[Iterator[tuple[Path, Path]]]:
    """Group files by their name without number; yield the pairs with consecutive numbers of each series.

    Files in several folders form one series if their numbers are unique, otherwise one series per folder.
    """
    named: defaultdict[tuple[str, str], list[tuple[int, Path]]] = defaultdict(list)
    for file in files:
        if match := NUMBERED.fullmatch(file.stem):
            key = (match["begin"], match["end"] + file.suffix.lower())
            named[key].append((int(match["number"]), file))

    for numbered in named.values():
        # Numbers that repeat belong to different films, a folder each.
        folders: defaultdict[Path | None, list[tuple[int, Path]]] = defaultdict(list)
        is_unique = len({number for number, _ in numbered}) == len(numbered)

        for number, file in numbered:
            folders[None if is_unique else file.parent].append((number, file))

        for series in folders.values():
            ordered = sorted(series)
            yield ((before, after) for (k, before), (n, after) in pairwise(ordered) if n == k + 1)


class _ContinuationTest:
    """Measure how a file continues another one; recent reads are cached for the next pair."""

    def __init__(self, hints: Hints) -> None:
        self._read_ends = lru_cache(maxsize=4)(_read_ends)
        self._read_times = lru_cache(maxsize=4)(lambda path: _read_times(path, hints))

    def __call__(self, before: Path, after: Path) -> float:
        """Return the difference at the cut, relative to the difference of two beginnings; infinite: no continuation."""
        if is_video_name(before):
            return _find_share(self._read_ends(before), self._read_ends(after))

        times_before = self._read_times(before)
        times_after = self._read_times(after)
        if times_before is None or times_after is None:
            return math.inf

        # A recording continues if its time does, soon after the end of the other.
        _, end_us = times_before
        begin_us, _ = times_after
        return 0.0 if 0 <= begin_us - end_us <= MAX_GAP_US else math.inf


def _read_ends(path: Path) -> VideoEnds | None:
    """Read the first and the last pictures of a video; return None if it cannot be read."""
    try:
        return read_video_ends(path)
    except DvspipeError:
        return None


def _read_times(path: Path, hints: Hints) -> tuple[int, int] | None:
    """Read the first and the last time of a recording in microseconds; return None if its file does not store them."""
    # Only some formats store their extent; others would have to be read completely.
    try:
        _, source = open_source(path, None, hints)
        extent = source.extent() if source.extent else None
    except DvspipeError:
        return None

    if extent is None or extent.first_us is None or extent.last_us is None:
        return None

    return extent.first_us, extent.last_us


def _find_share(before: VideoEnds | None, after: VideoEnds | None) -> float:
    """Return how the first picture of a video follows the last picture of another: a small share, or infinity.

    Pictures at a cut must differ as little as consecutive pictures, and much less than the two beginnings and the two
    ends. This excludes videos of a still scene, and of a person who begins and ends at rest.
    """
    if before is None or after is None:
        return math.inf

    at_cut = _distance(before.last, after.first)
    others = min(_distance(before.first, after.first), _distance(before.last, after.last))
    step = max(_distance(before.second_last, before.last), _distance(after.first, after.second))
    return at_cut / others if others and at_cut <= MAX_STEPS * step else math.inf


def _distance(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Compute the mean absolute difference of two pictures in grey levels."""
    return float(np.abs(a - b).mean())
