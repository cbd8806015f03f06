"""Data sets as shards: recordings in a few large archives, to publish them and to train from them.

A folder of shards has an index.json (`ShardIndex`), which lists the archives (`ShardInfo`) and their recordings
(`StoredSample`), and tar archives of one part each, in the layout of WebDataset. `write_shards` writes them,
`open_shards` opens them as a data set; steps and size of the spike tensors are chosen when training.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..base.errors import DataError, escape_controls
from ..base.files import TemporaryFolder, claim_output, digest_file, lock_folder, read_bytes, write_beside, write_text
from ..base.patterns import SIZE_PATTERN
from ..events import Events, SensorSize
from ..formats import write
from ..parallel import Engine, Outcome, Processes, Progress, map_items
from ..results.lock import SHA256_PATTERN
from ..results.splits import PARTS, Part
from .config import ShardsConfig
from .folders import RecordingFile
from .samples import DataSet, Sample, check_groups
from .shard_files import EVENTS_SUFFIX, INDEX, PackedRecording, ShardFile, append_recording
from .source import DataSource
from .tensors import PartSample, list_samples, relative_name

SHARD_BYTES = 256_000_000
FILE_PATTERN = r"^\w[\w.-]*\.tar$"


@dataclass(frozen=True, slots=True)
class StoredSample:
    """Entry of a recording in a shard.

    Args:
        name: Name of the recording, relative to the folder of the data set.
        offset: Offset of its HDF5 file in the shard, in bytes.
        bytes: Size of its HDF5 file in bytes.
        sha256: SHA-256 of its HDF5 file, in hexadecimal digits.
    """

    key: str
    name: str
    label: int
    group: str
    offset: int
    bytes: int
    sha256: str


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ShardInfo(_Model):
    """Content of a shard."""

    file: str = Field(pattern=FILE_PATTERN)
    """Name of the archive, beside index.json."""
    part: Part
    """Part of the data set."""
    bytes: int
    """Size of the archive in bytes."""
    sha256: str = Field(pattern=SHA256_PATTERN)
    """SHA-256 of the archive, in hexadecimal digits."""
    count: int = Field(ge=1)
    """Number of recordings."""
    classes: dict[str, int]
    """Number of recordings per class name."""
    samples: tuple[StoredSample, ...]
    """Recordings in the order of the archive."""


class ShardIndex(_Model):
    """index.json: the content of a folder of shards."""

    format: Literal["dvspipe-shards-2"]
    """Version of this format."""
    title: str
    """Short description of the recordings."""
    classes: tuple[str, ...]
    """Class names; a label is an index into them."""
    sensor: str = Field(pattern=SIZE_PATTERN)
    """Sensor of the first recording, WIDTHxHEIGHT."""
    synthetic: bool
    """Whether the training and validation parts are synthetic."""
    synthetic_test: bool
    """Whether the test part is synthetic."""
    fixed_test: bool
    """Whether the test part is given by the data set, not drawn."""
    in_time: tuple[str, ...] = ()
    """Classes with too few films, which are divided in time between the parts."""
    shards: tuple[ShardInfo, ...]
    """Shards, part by part."""

    @classmethod
    def read(cls, path: Path) -> ShardIndex:
        """Read and validate an index file."""
        try:
            index = cls.model_validate_json(read_bytes(path))
        except ValidationError as error:
            first = error.errors()[0]
            what = f"{'.'.join(map(str, first['loc']))} {first['msg']}".strip()
            raise DataError(f"{path}: not the index of shards ({what})") from error

        # Pydantic has checked each field; these fields must fit together.
        for shard in index.shards:
            if shard.count != len(shard.samples):
                raise DataError(f"{path}: {shard.file} has {len(shard.samples)} recordings (expected {shard.count})")
            if not all(0 <= sample.label < len(index.classes) for sample in shard.samples):
                raise DataError(f"{path}: {shard.file} has a label without class")
            if not all(_is_inside(sample, shard) for sample in shard.samples):
                raise DataError(f"{path}: {shard.file} has a recording outside its {shard.bytes:,} bytes")

        return index


def _is_inside(sample: StoredSample, shard: ShardInfo) -> bool:
    return sample.offset >= 0 and 0 < sample.bytes <= shard.bytes - sample.offset


def open_shards(source: DataSource[ShardsConfig]) -> DataSet:
    """Open a folder of shards, with the parts in which it was written.

    Raises:
        FileError: If index.json is missing or cannot be read.
        DataError: If the index is invalid, or a shard is missing or truncated.
    """
    root = source.root
    path = root / INDEX
    if not path.exists():
        raise DataError(f"{path}: no such file, expected the index of a folder of shards")
    index = ShardIndex.read(path)

    parts: dict[Part, list[Sample]] = {part: [] for part in PARTS}
    for shard in index.shards:
        file = ShardFile(root / shard.file, shard.bytes, shard.sha256)
        file.check_size()
        parts[shard.part] += [_as_sample(source, file, stored) for stored in shard.samples]

    check_groups(parts["train"], [*parts["validation"], *parts["test"]])
    check_groups(parts["validation"], parts["test"])

    return DataSet(
        title=index.title,
        classes=index.classes,
        sensor=source.config.target or SensorSize.parse(index.sensor),
        train=tuple(parts["train"]),
        validation=tuple(parts["validation"]),
        test=tuple(parts["test"]),
        synthetic=index.synthetic,
        synthetic_test=index.synthetic_test,
        fixed_test=index.fixed_test,
        in_time=index.in_time,
    )


def _as_sample(source: DataSource[ShardsConfig], file: ShardFile, stored: StoredSample) -> Sample:
    packed = PackedRecording(file, stored.key, stored.offset, stored.bytes, stored.sha256)
    recording = RecordingFile.of_packed(source, packed)
    return Sample(
        name=stored.name, label=stored.label, group=stored.group, load=recording.load, version=recording.version
    )


def write_shards(
    folder: Path,
    data: DataSet,
    *,
    root: Path | None = None,
    seed: int = 0,
    size: int = SHARD_BYTES,
    engine: Engine = Processes(),
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ShardIndex:
    """Write the recordings of a data set as shards, and finally their index.json.

    A recording that is an HDF5 file is copied; others are written as HDF5 files. Training recordings are shuffled,
    because folders list each class as a block.

    Args:
        folder: Output folder; created if it does not exist.
        data: Data set.
        root: Folder of the data set; names of recordings are stored relative to it.
        seed: Seed of the order.
        size: Size in bytes after which a new shard starts; a shard may be larger by up to one recording.
        engine: Engine that reads the recordings.
        overwrite: Whether to replace shards in the folder.
        progress: Called with the number of recordings done and the total.

    Raises:
        DataError: If the samples are images, or a recording cannot be read; the folder is then left without an index.
        FileError: If the folder already has shards, another process writes to it, or it cannot be written to.
        WorkerError: If a worker was killed.
    """
    samples = list_samples(data)
    claim_output(folder / INDEX, overwrite=overwrite)

    order = np.random.default_rng(seed).permutation(len(data.train)).tolist()
    samples = [*(samples[number] for number in order), *samples[len(order) :]]

    # Without an index, a folder is not a data set: it is removed first and written last.
    with lock_folder(folder):
        (folder / INDEX).unlink(missing_ok=True)
        for part in PARTS:
            for path in folder.glob(f"{part}-*.tar"):
                path.unlink(missing_ok=True)

        outcomes = map_items(pack_recording, samples, engine=engine, ordered=True, progress=progress)
        shards = list[ShardInfo]()
        for part, packed in groupby(outcomes, lambda outcome: outcome.item.part):
            shards += _write_part(folder, part, packed, data.classes, root, size)

        index = ShardIndex(
            format="dvspipe-shards-2",
            title=data.title,
            classes=data.classes,
            sensor=str(data.sensor),
            synthetic=data.synthetic,
            synthetic_test=data.synthetic_test,
            fixed_test=data.fixed_test,
            in_time=data.in_time,
            shards=tuple(shards),
        )
        write_text(folder / INDEX, index.model_dump_json())

    return index


def pack_recording(item: PartSample, _progress: Progress) -> bytes:
    """Return a recording as an HDF5 file."""
    sample = item.sample
    if sample.original is not None:
        return read_bytes(sample.original)

    events = sample.read_content()
    if not isinstance(events, Events):
        raise DataError(f"{sample.name}: is an image (expected recordings of events)")
    with TemporaryFolder() as folder:
        path = Path(folder) / f"events{EVENTS_SUFFIX}"
        write(path, events)
        return read_bytes(path)


def _write_part(
    folder: Path,
    part: Part,
    outcomes: Iterator[Outcome[PartSample, bytes]],
    classes: Sequence[str],
    root: Path | None,
    size: int,
) -> Iterator[ShardInfo]:
    """Write the recordings of a part into shards; yield the content of each shard."""
    # A shard is full when it has reached `size`; the next recording begins another one. Keys are the numbers of the
    # recordings over all shards.
    following = next(outcomes, None)
    shard_number = 0

    while following is not None:
        path = folder / f"{part}-{shard_number:05d}.tar"
        samples = list[StoredSample]()

        with write_beside(path) as beside:
            with tarfile.open(beside, "w", format=tarfile.USTAR_FORMAT) as tar:
                while following is not None and (not samples or tar.offset < size):
                    key = f"{following.index:08d}"
                    samples.append(_append(tar, key, following, classes, root))
                    following = next(outcomes, None)
            archive_bytes = beside.stat().st_size
            sha256 = digest_file(beside)

        yield ShardInfo(
            file=path.name,
            part=part,
            bytes=archive_bytes,
            sha256=sha256,
            count=len(samples),
            classes=dict(Counter(classes[sample.label] for sample in samples)),
            samples=tuple(samples),
        )
        shard_number += 1


def _append(
    tar: tarfile.TarFile, key: str, packed: Outcome[PartSample, bytes], classes: Sequence[str], root: Path | None
) -> StoredSample:
    """Append a recording to an open shard; return its entry."""
    sample = packed.item.sample
    content = packed.result()
    name = escape_controls(relative_name(sample.name, root).as_posix())
    group = escape_controls(relative_name(sample.group, root).as_posix())

    facts = {"name": name, "label": sample.label, "class": classes[sample.label], "group": group}
    offset = append_recording(tar, key, content, json.dumps(facts).encode())
    sha256 = hashlib.sha256(content).hexdigest()

    return StoredSample(
        key=key, name=name, label=sample.label, group=group, offset=offset, bytes=len(content), sha256=sha256
    )
