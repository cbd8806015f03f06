"""Shard files: tar archives of recordings, with two members per recording, KEY.h5 and KEY.json."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..base.errors import DataError, FileError
from ..base.files import TemporaryFolder, digest_file
from ..events import Events
from ..formats import read

INDEX = "index.json"  # in the folder of the archives
EVENTS_SUFFIX = ".h5"  # suffixes of the two members of each recording
FACTS_SUFFIX = ".json"
SHOWN_DIGITS = 12  # digits of a digest in a message


@dataclass(frozen=True)
class ShardFile:
    """Tar archive of recordings.

    Args:
        size: Size of the archive in bytes.
        sha256: SHA-256 of its content, in hexadecimal digits.
    """

    path: Path
    size: int
    sha256: str

    def check_size(self) -> None:
        """Check that the archive exists and has its size."""
        try:
            size = self.path.stat().st_size
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read ({error.strerror or error})") from error
        if size != self.size:
            raise DataError(f"{self.path}: truncated or another file (found {size:,} bytes, expected {self.size:,})")

    def check(self) -> None:
        """Verify the content of the archive; it is read once per process."""
        self.check_size()
        actual = _digest_once(self)
        if actual != self.sha256:
            raise DataError(
                f"{self.path}: changed after it was written (found SHA-256 {actual[:SHOWN_DIGITS]}..., expected "
                f"{self.sha256[:SHOWN_DIGITS]}...)"
            )


@cache
def _digest_once(shard: ShardFile) -> str:
    try:
        return digest_file(shard.path)
    except FileError as error:
        raise DataError(error.message) from error


@dataclass(frozen=True)
class PackedRecording:
    """Location of a recording in a shard.

    Args:
        key: Name of its members without suffix.
        offset: Offset of its HDF5 file in the archive, in bytes.
        size: Size of the HDF5 file in bytes.
        sha256: SHA-256 of the HDF5 file, in hexadecimal digits.
    """

    shard: ShardFile
    key: str
    offset: int
    size: int
    sha256: str

    def read(self) -> Events:
        """Read all events."""
        self.shard.check()
        with self.shard.path.open("rb") as file:
            file.seek(self.offset)
            content = file.read(self.size)

        # The HDF5 library reads files only; a small one does not leave the memory of the system.
        with TemporaryFolder() as folder:
            path = Path(folder) / f"{self.key}{EVENTS_SUFFIX}"
            path.write_bytes(content)
            try:
                return read(path)
            except FileError as error:
                raise DataError(f"{self.shard.path}: no recording at byte {self.offset} ({error.message})") from error


def append_recording(tar: tarfile.TarFile, key: str, events: bytes, facts: bytes) -> int:
    """Append the two members of a recording to an open archive; return the offset of the events in bytes."""
    offset = tar.offset + tarfile.BLOCKSIZE  # keys are short, so a header takes one block
    for suffix, content in ((EVENTS_SUFFIX, events), (FACTS_SUFFIX, facts)):
        member = tarfile.TarInfo(key + suffix)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return offset
