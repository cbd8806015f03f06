"""Shards: tar archives of spike tensors. One member is written, one is read, and all are checked."""

from __future__ import annotations

import hashlib
import io
import math
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..formats.numpy_file import HEADER_ERRORS, read_npy_header

SPIKES, FACTS = ".npz", ".json"  # suffixes of the two members of each sample
ARRAY = "spikes"  # its name in the .npz
COMPRESSION = 1  # spikes are mostly 0; `numpy.savez_compressed`, level 6, takes 2.6 to 3.6 times the CPU time
MAX_DEFLATED = 1032  # bytes that DEFLATE can make of one
CORRUPTIONS = (*HEADER_ERRORS, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class ShardFile:
    """A tar archive with two members for each sample, KEY.npz and KEY.json.

    Args:
        path: The archive.
        size: Its size in bytes.
        sha256: SHA-256 of its content, in hexadecimal digits.
        count: Number of its samples.
        dtype: Dtype of their spikes.
        shape: Shape of the spikes of each, [views, T, C, H, W].
    """

    path: Path
    size: int
    sha256: str
    count: int
    dtype: str
    shape: tuple[int, ...]

    def check(self) -> None:
        """Check that the archive has the expected content; it is read once in a process.

        Raises:
            DataError: It has not.
        """
        problem = _find_problem(self)
        if problem is not None:
            raise DataError(f"{self.path}: {problem}")


@dataclass(frozen=True, slots=True)
class StoredTensors:
    """Where the spike tensors of a sample are.

    Args:
        shard: The archive.
        offset: Place of the first byte of the .npz in it.
        size: Number of bytes of the .npz.
        counts: The values of `BinCounts` of the recording itself.
    """

    shard: ShardFile
    offset: int
    size: int
    counts: tuple[int, ...]

    def read(self) -> NDArray[Any]:
        """Return the spikes [views, T, C, H, W].

        Raises:
            DataError: The archive has not the expected content.
        """
        self.shard.check()
        try:
            with self.shard.path.open("rb") as file:
                file.seek(self.offset)
                return _unpack(file.read(self.size), self.shard.dtype, self.shard.shape)
        except CORRUPTIONS as error:
            raise DataError(f"{self.shard.path}: no spike tensor at byte {self.offset} ({error})") from error


@cache
def _find_problem(shard: ShardFile) -> str | None:
    """Return what is wrong with an archive; None if nothing is."""
    try:
        size = shard.path.stat().st_size
        if size != shard.size:
            return f"truncated or another file (found {size:,} bytes, expected {shard.size:,})"
        found = digest_file(shard.path)
        if found != shard.sha256:
            return f"changed after it was written (found SHA-256 {found[:12]}..., expected {shard.sha256[:12]}...)"
        pairs = _count_pairs(shard.path)
    except FileNotFoundError:
        return "no such file"
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    except (tarfile.TarError, DataError) as error:
        return str(error)
    except (MemoryError, OverflowError):
        return "corrupted: a header claims more bytes than there are"
    return None if pairs == shard.count else f"{pairs} pairs of {SPIKES} and {FACTS} (expected {shard.count})"


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _count_pairs(path: Path) -> int:
    """Return the number of samples of an archive.

    Raises:
        DataError: A member is not one of a pair.
    """
    suffixes: dict[str, set[str]] = {}
    with tarfile.open(path, "r:") as tar:
        for member in tar:
            name = PurePosixPath(member.name)
            suffixes.setdefault(name.stem, set()).add(name.suffix)
    for key, found in suffixes.items():
        if found != {SPIKES, FACTS}:
            raise DataError(f"no pair for {key} (found {', '.join(sorted(found))}, expected {SPIKES} and {FACTS})")
    return len(suffixes)


def pack_spikes(spikes: NDArray[Any]) -> bytes:
    """Return spikes [views, T, C, H, W] as the content of a compressed .npz, which `np.load` reads."""
    content = io.BytesIO()
    with (
        zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESSION) as archive,
        archive.open(f"{ARRAY}.npy", "w") as member,
    ):
        np.lib.format.write_array(member, spikes, allow_pickle=False)
    return content.getvalue()


def _unpack(content: bytes, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the array of `pack_spikes`; nothing of the size that it claims is allocated before that is checked.

    Raises:
        ValueError: It has another dtype or shape, such as Python objects, whose code may run when they are read, or
            claims more values than its bytes can hold.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        info = archive.getinfo(f"{ARRAY}.npy")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"compression {info.compress_type}, expected {zipfile.ZIP_DEFLATED}")
        with archive.open(info) as member:
            found_shape, _, found_dtype, start = read_npy_header(member)
        if found_dtype != np.dtype(dtype) or found_shape != shape:
            raise ValueError(f"found {found_dtype} {list(found_shape)}, expected {dtype} {list(shape)}")
        size = start + math.prod(shape) * found_dtype.itemsize
        if info.file_size != size or size > MAX_DEFLATED * info.compress_size + start:
            raise ValueError(f"found {info.compress_size} bytes of {info.file_size}, expected {size} bytes compressed")
        with archive.open(info) as member:
            spikes: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
    return spikes


def append_sample(tar: tarfile.TarFile, key: str, spikes: bytes, facts: bytes) -> int:
    """Append the two members of a sample to an open archive, and return where the first byte of the spikes is."""
    offset = tar.offset + tarfile.BLOCKSIZE  # a header has one block, since keys are short
    for suffix, content in ((SPIKES, spikes), (FACTS, facts)):
        member = tarfile.TarInfo(key + suffix)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return offset


def group_by_shard(places: list[StoredTensors]) -> Iterator[tuple[ShardFile, int]]:
    """Yield each archive of consecutive samples, with the number of them."""
    shard, count = places[0].shard, 0
    for place in places:
        if place.shard is not shard:
            yield shard, count
            shard, count = place.shard, 0
        count += 1
    yield shard, count
