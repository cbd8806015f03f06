"""Shard files: write, read and verify tar archives of spike tensors."""

from __future__ import annotations

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

from ..base.errors import DataError
from ..base.files import digest_file
from ..formats.numpy_file import HEADER_ERRORS, read_npy_header

SPIKES = ".npz"  # suffixes of the two members of each sample
FACTS = ".json"
ARRAY = "spikes"  # its name in the .npz
COMPRESSION = 1  # spikes are mostly 0; `numpy.savez_compressed`, level 6, takes 2.6 to 3.6 times the CPU time
MAX_DEFLATED = 1032  # bytes that DEFLATE can make of one
CORRUPTIONS = (*HEADER_ERRORS, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class ShardFile:
    """Tar archive with two members per sample, KEY.npz and KEY.json.

    Args:
        size: Size of the archive in bytes.
        sha256: SHA-256 of its content, in hexadecimal digits.
    """

    path: Path
    size: int
    sha256: str
    count: int
    dtype: str
    shape: tuple[int, ...]

    def check(self) -> None:
        """Verify the content of the archive; it is read once per process."""
        problem = _find_problem(self)
        if problem is not None:
            raise DataError(f"{self.path}: {problem}")


@dataclass(frozen=True, slots=True)
class StoredTensors:
    """Location of the spike tensors of a sample.

    Args:
        offset: Offset of the .npz in the archive, in bytes.
        size: Size of the .npz in bytes.
    """

    shard: ShardFile
    offset: int
    size: int
    counts: tuple[int, ...]

    def read(self) -> NDArray[Any]:
        """Read the spikes [views, T, C, H, W]."""
        self.shard.check()
        try:
            with self.shard.path.open("rb") as file:
                file.seek(self.offset)
                return _unpack(file.read(self.size), self.shard.dtype, self.shard.shape)
        except CORRUPTIONS as error:
            raise DataError(f"{self.shard.path}: no spike tensor at byte {self.offset} ({error})") from error


@cache
def _find_problem(shard: ShardFile) -> str | None:
    """Verify an archive; return a description of its problem, or None if it is intact."""
    try:
        size = shard.path.stat().st_size
        if size != shard.size:
            return f"truncated or another file (found {size:,} bytes, expected {shard.size:,})"
        actual = digest_file(shard.path)
        if actual != shard.sha256:
            return f"changed after it was written (found SHA-256 {actual[:12]}..., expected {shard.sha256[:12]}...)"

        pairs = _count_pairs(shard.path)
    except FileNotFoundError:
        return "no such file"
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    except (tarfile.TarError, DataError) as error:
        return str(error)
    except (MemoryError, OverflowError):
        return "corrupted (a header claims more bytes than the file has)"

    return None if pairs == shard.count else f"{pairs} pairs of {SPIKES} and {FACTS} (expected {shard.count})"


def _count_pairs(path: Path) -> int:
    """Count the samples of an archive."""
    suffixes: dict[str, set[str]] = {}
    with tarfile.open(path, "r:") as tar:
        for member in tar:
            name = PurePosixPath(member.name)
            suffixes.setdefault(name.stem, set()).add(name.suffix)

    for key, members in suffixes.items():
        if members != {SPIKES, FACTS}:
            raise DataError(f"no pair for {key} (found {', '.join(sorted(members))}, expected {SPIKES} and {FACTS})")

    return len(suffixes)


def pack_spikes(spikes: NDArray[Any]) -> bytes:
    """Pack spikes [views, T, C, H, W] as the content of a compressed .npz, readable with `np.load`."""
    content = io.BytesIO()
    with (
        zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESSION) as archive,
        archive.open(f"{ARRAY}.npy", "w") as member,
    ):
        np.lib.format.write_array(member, spikes, allow_pickle=False)
    return content.getvalue()


def _unpack(content: bytes, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Unpack the array of `pack_spikes`; check the claimed size before allocating memory.

    Another dtype is refused: reading Python objects may run code.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        info = archive.getinfo(f"{ARRAY}.npy")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"compression {info.compress_type}, expected {zipfile.ZIP_DEFLATED}")

        with archive.open(info) as member:
            found_shape, _, found_dtype, start = read_npy_header(member)

        if found_dtype != np.dtype(dtype) or found_shape != shape:
            raise ValueError(f"found {found_dtype} {list(found_shape)}, expected {dtype} {list(shape)}")

        # The claimed size must agree with the shape, and be possible for DEFLATE: it is allocated before it is read.
        size = start + math.prod(shape) * found_dtype.itemsize
        if info.file_size != size or size > MAX_DEFLATED * info.compress_size + start:
            raise ValueError(f"found {info.compress_size} bytes of {info.file_size}, expected {size} bytes compressed")

        with archive.open(info) as member:
            spikes: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)

    return spikes


def append_sample(tar: tarfile.TarFile, key: str, spikes: bytes, facts: bytes) -> int:
    """Append the two members of a sample to an open archive; return the offset of the spikes in bytes."""
    offset = tar.offset + tarfile.BLOCKSIZE  # keys are short, so a header takes one block
    for suffix, content in ((SPIKES, spikes), (FACTS, facts)):
        member = tarfile.TarInfo(key + suffix)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return offset


def group_by_shard(samples: list[StoredTensors]) -> Iterator[tuple[ShardFile, int]]:
    """Yield each archive of consecutive samples, with the number of its samples."""
    shard = samples[0].shard
    count = 0
    for stored in samples:
        if stored.shard is not shard:
            yield shard, count
            shard = stored.shard
            count = 0
        count += 1

    yield shard, count
