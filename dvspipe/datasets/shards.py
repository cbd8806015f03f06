"""Data sets as shards: spike tensors encoded once, for training without the recordings.

A folder of shards has an index.json (`ShardIndex`), which lists the archives (`ShardInfo`) and their samples
(`StoredSample`), and tar archives of one part each. `write_shards` writes them, `open_shards` opens them as a data set.
"""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..base.config import SIZE_PATTERN, SettingsTree, find_differences
from ..base.errors import DataError, Remedy
from ..base.files import claim_output, digest_file, lock_folder, read_bytes, write_beside, write_text
from ..encoding import BinConfig, BinCounts
from ..events import Events, SensorSize
from ..parallel import ALL, Engine, Outcome, Processes, Progress, Shard, map_items
from ..results.splits import PARTS, Part
from .augmentation import VaryConfig
from .cache import Cache
from .config import ShardsConfig
from .samples import DataSet, Sample, check_groups
from .shard_files import ShardFile, StoredTensors, append_sample, pack_spikes
from .source import DataSource
from .tensors import EncodedSample, SampleEncoder, TensorSettings

INDEX = "index.json"
SHARD_BYTES = 256_000_000
FILE_PATTERN = r"^\w[\w.-]*\.tar$"
SHA256_PATTERN = r"^[0-9a-f]{64}$"


@dataclass(frozen=True, slots=True)
class StoredSample:
    """Entry of a sample in a shard.

    Args:
        offset: Offset of its .npz in the shard, in bytes.
        bytes: Size of its .npz in bytes.
    """

    key: str
    name: str
    label: int
    group: str
    version: str
    counts: tuple[int, int, int, int]
    offset: int
    bytes: int


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
    """Number of samples."""
    classes: dict[str, int]
    """Number of samples per class name."""
    groups: tuple[str, ...]
    """Persons or sources of the samples."""
    samples: tuple[StoredSample, ...]
    """Samples in the order of the archive."""


class ShardIndex(_Model):
    """index.json: the content of a folder of shards, and the settings of its encoding."""

    format: Literal["dvspipe-shards-1"]
    """Version of this format."""
    title: str
    """Short description of the recordings."""
    classes: tuple[str, ...]
    """Class names; a label is an index into them."""
    sensor: str = Field(pattern=SIZE_PATTERN)
    """Sensor of all recordings, WIDTHxHEIGHT."""
    synthetic: bool
    """Whether the training and validation parts are synthetic."""
    synthetic_test: bool
    """Whether the test part is synthetic."""
    fixed_test: bool
    """Whether the test part is given by the data set, not drawn."""
    in_time: tuple[str, ...] = ()
    """Classes with too few films, which are divided in time between the parts."""
    bins: BinConfig
    """Steps of the spike tensors."""
    views: int = Field(ge=1)
    """Number of variants of each training recording, including the original."""
    vary: VaryConfig
    """Random changes of the other variants."""
    seed: int
    """Seed of the variants and of the division into parts."""
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
                raise DataError(f"{path}: {shard.file} has {len(shard.samples)} samples (expected {shard.count})")
            if not all(0 <= sample.label < len(index.classes) for sample in shard.samples):
                raise DataError(f"{path}: {shard.file} has a label without class")
            if not all(_is_inside(sample, shard) for sample in shard.samples):
                raise DataError(f"{path}: {shard.file} has a sample outside its {shard.bytes:,} bytes")

        return index


def _is_inside(sample: StoredSample, shard: ShardInfo) -> bool:
    return sample.offset >= 0 and 0 < sample.bytes <= shard.bytes - sample.offset


def open_shards(source: DataSource[ShardsConfig]) -> DataSet:
    """Open a folder of shards, with the parts in which it was written.

    Raises:
        FileError: If index.json is missing or cannot be read.
        DataError: If the index is invalid, a shard is missing or truncated, steps or variants differ from the
            experiment, or the recordings had another size.
    """
    root = source.root
    path = root / INDEX
    if not path.exists():
        raise DataError(f"{path}: no such file, expected the index of a folder of shards")

    index = ShardIndex.read(path)
    _check_settings(path, index, source)

    parts: dict[Part, list[Sample]] = {part: [] for part in PARTS}
    sensor = SensorSize.parse(index.sensor)
    steps = index.bins.steps

    # The tensors of a shard have one shape, which follows from the settings.
    for shard in index.shards:
        shape = (index.views if shard.part == "train" else 1, steps, *index.bins.shape(sensor))
        file = ShardFile(root / shard.file, shard.bytes, shard.sha256, shard.count, index.bins.dtype.name, shape)
        _check_size(file)
        parts[shard.part] += [_as_sample(file, stored) for stored in shard.samples]

    check_groups(parts["train"], [*parts["validation"], *parts["test"]])
    check_groups(parts["validation"], parts["test"])

    return DataSet(
        title=index.title,
        classes=index.classes,
        sensor=sensor,
        train=tuple(parts["train"]),
        validation=tuple(parts["validation"]),
        test=tuple(parts["test"]),
        synthetic=index.synthetic,
        synthetic_test=index.synthetic_test,
        fixed_test=index.fixed_test,
        in_time=index.in_time,
    )


def _check_settings(path: Path, index: ShardIndex, source: DataSource[ShardsConfig]) -> None:
    """Check that shards were encoded as the experiment asks."""
    config = source.config
    several = config.views > 1

    # Without variants, `vary` and the seed do not matter; see `_encoding_settings`.
    stored_settings = _encoding_settings(index.bins, index.vary, index.seed, several=several)
    expected_settings = _encoding_settings(source.bins, config.vary, source.seed, several=several)
    differences = find_differences(stored_settings, expected_settings)

    if differences:
        listed = "; ".join(f"{key} = {json.dumps(old)} there, {json.dumps(new)} here" for key, old, new in differences)
        raise DataError(f"{path}: the shards were encoded with other settings: {listed}")

    if config.target is not None and str(config.target) != index.sensor:
        raise DataError(
            f"{path}: the recordings of the shards had another size (found {index.sensor}, expected {config.target})",
            Remedy("data.size", index.sensor),
        )

    if config.views > index.views:
        raise DataError(
            f"{path}: the shards have too few variants per recording (found {index.views}, expected data.views = "
            f"{config.views})",
            Remedy("data.views", index.views),
        )


def _encoding_settings(bins: BinConfig, vary: VaryConfig, seed: int, *, several: bool) -> SettingsTree:
    """Return the settings that affect spike tensors; without several variants, nothing random is drawn."""
    drawn: SettingsTree = {"vary": vary.model_dump(mode="json"), "seed": seed} if several else {}
    return {"bins": bins.model_dump(mode="json"), **drawn}


def _check_size(file: ShardFile) -> None:
    try:
        actual = file.path.stat().st_size
    except OSError as error:
        raise DataError(f"{file.path}: cannot be read ({error.strerror})") from error

    if actual != file.size:
        raise DataError(f"{file.path}: truncated or another file (found {actual:,} bytes, expected {file.size:,})")


def _as_sample(file: ShardFile, stored: StoredSample) -> Sample:
    return Sample(
        name=stored.name,
        label=stored.label,
        group=stored.group,
        load=_raise_no_events,
        version=partial(str, stored.version),
        stored=StoredTensors(file, stored.offset, stored.bytes, stored.counts),
    )


def _raise_no_events() -> Events:
    raise DataError("is in a shard, without events (shards contain only spike tensors)")


class PartSample(NamedTuple):
    """Sample with its part of the data set."""

    part: Part
    sample: Sample

    def __str__(self) -> str:
        return self.sample.name


class PackedSample(NamedTuple):
    """Sample packed by a worker for a shard."""

    content: bytes
    version: str
    counts: tuple[int, int, int, int]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class TensorPlan:
    """Plan for encoding the samples of a data set.

    Args:
        settings: Steps of all parts, and variants of the training part.
        cache: Cache of the tensors; None: no cache.
    """

    settings: TensorSettings
    cache: Cache | None

    def encode(self, item: PartSample) -> EncodedSample:
        """Encode a sample; only the training part has variants."""
        settings = self.settings if item.part == "train" else replace(self.settings, views=1)
        return SampleEncoder(settings, self.cache)(item.sample)

    def fill_cache(self, item: PartSample, _progress: Progress) -> None:
        """Encode a sample into the cache."""
        self.encode(item)

    def pack(self, item: PartSample, _progress: Progress) -> PackedSample:
        """Encode a sample and pack it for a shard."""
        version = item.sample.read_version()  # read before encoding, to notice later changes
        encoded = self.encode(item)
        counts: tuple[int, int, int, int] = astuple(BinCounts(*encoded.counts.tolist()))
        return PackedSample(pack_spikes(encoded.spikes), version, counts, encoded.spikes.shape[2:])


def list_samples(data: DataSet, *, root: Path | None = None, shard: Shard = ALL) -> list[PartSample]:
    """List the samples of a data set with their parts.

    Args:
        data: Data set.
        root: Folder of the data set. Names are made relative to it before they are assigned to shares.
        shard: Share of the samples to list; default: all.
    """
    listed = [PartSample(part, sample) for part, samples in data.parts.items() for sample in samples]
    return [item for item in listed if _relative(item.sample.name, root) in shard]


def _relative(name: str, root: Path | None) -> Path:
    path = Path(name)
    return path.relative_to(root) if root is not None and path.is_relative_to(root) else path


def encode_many(
    samples: Sequence[PartSample],
    plan: TensorPlan,
    *,
    engine: Engine = Processes(),
    progress: Progress | None = None,
) -> Iterator[Outcome[PartSample, None]]:
    """Encode samples into a cache; yield each outcome as it completes.

    Args:
        samples: Samples from `list_samples`.
        plan: Steps, variants and cache.
        engine: Engine that runs the encoding.
        progress: Called with the number of samples done and the total.

    Raises:
        DataError: If the samples are images, or already in shards.
        WorkerError: If a worker was killed.
    """
    _check_encodable(samples)
    return map_items(plan.fill_cache, samples, engine=engine, progress=progress)


def _check_encodable(samples: Sequence[PartSample]) -> None:
    for _, sample in samples[:1]:  # all samples are of the same kind
        if sample.code is not None:
            raise DataError(f"{sample.name}: is an image, encoded again in every epoch (expected recordings)")
        if sample.stored is not None:
            raise DataError(f"{sample.name}: is in a shard, already encoded (expected recordings)")


def write_shards(
    folder: Path,
    data: DataSet,
    plan: TensorPlan,
    *,
    size: int = SHARD_BYTES,
    engine: Engine = Processes(),
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ShardIndex:
    """Write the spike tensors of a data set as shards, and finally their index.json.

    Training samples are shuffled with the seed of the plan, because folders list each class as a block.

    Args:
        folder: Output folder; created if it does not exist.
        data: Data set.
        plan: Steps, variants and cache.
        size: Size in bytes after which a new shard starts; a shard may be larger by up to one sample.
        engine: Engine that runs the encoding.
        overwrite: Whether to replace shards in the folder.
        progress: Called with the number of samples done and the total.

    Raises:
        DataError: If the samples are images or already in shards, or a recording cannot be encoded; the folder is then
            left without an index.
        FileError: If the folder already has shards, another process writes to it, or it cannot be written to.
        WorkerError: If a worker was killed.
    """
    samples = list_samples(data)
    _check_encodable(samples)
    claim_output(folder / INDEX, overwrite=overwrite)

    order = np.random.default_rng(plan.settings.seed).permutation(len(data.train)).tolist()
    samples = [*(samples[number] for number in order), *samples[len(order) :]]

    # Without an index, a folder is not a data set: it is removed first and written last.
    with lock_folder(folder):
        (folder / INDEX).unlink(missing_ok=True)
        for part in PARTS:
            for path in folder.glob(f"{part}-*.tar"):
                path.unlink(missing_ok=True)

        outcomes = map_items(plan.pack, samples, engine=engine, ordered=True, progress=progress)
        shards = list[ShardInfo]()
        for part, packed in groupby(outcomes, lambda outcome: outcome.item.part):
            shards += _write_part(folder, part, packed, data, plan.settings.bins, size)

        settings = plan.settings
        index = ShardIndex(
            format="dvspipe-shards-1",
            title=data.title,
            classes=data.classes,
            sensor=str(data.sensor),
            synthetic=data.synthetic,
            synthetic_test=data.synthetic_test,
            fixed_test=data.fixed_test,
            in_time=data.in_time,
            bins=settings.bins,
            views=settings.views,
            vary=settings.vary,
            seed=settings.seed,
            shards=tuple(shards),
        )
        write_text(folder / INDEX, index.model_dump_json())

    return index


def _write_part(
    folder: Path,
    part: Part,
    outcomes: Iterator[Outcome[PartSample, PackedSample]],
    data: DataSet,
    bins: BinConfig,
    size: int,
) -> Iterator[ShardInfo]:
    """Write the samples of a part into shards; yield the content of each shard."""
    # A shard is full when it has reached `size`; the next sample begins another one. Keys are the numbers of the
    # samples over all shards.
    following = next(outcomes, None)
    shard_number = 0

    while following is not None:
        path = folder / f"{part}-{shard_number:05d}.tar"
        samples = list[StoredSample]()

        with write_beside(path) as beside:
            with tarfile.open(beside, "w", format=tarfile.USTAR_FORMAT) as tar:
                while following is not None and (not samples or tar.offset < size):
                    key = f"{following.index:08d}"
                    samples.append(_append(tar, key, following.item.sample, following.result(), data, bins))
                    following = next(outcomes, None)
            archive_bytes = beside.stat().st_size
            sha256 = digest_file(beside)

        yield ShardInfo(
            file=path.name,
            part=part,
            bytes=archive_bytes,
            sha256=sha256,
            count=len(samples),
            classes=dict(Counter(data.classes[sample.label] for sample in samples)),
            groups=tuple(sorted({sample.group for sample in samples})),
            samples=tuple(samples),
        )
        shard_number += 1


def _append(
    tar: tarfile.TarFile, key: str, sample: Sample, packed: PackedSample, data: DataSet, bins: BinConfig
) -> StoredSample:
    """Append a sample to an open shard; return its entry."""
    if packed.shape != bins.shape(data.sensor):
        raise DataError(
            f"{sample.name}: comes from another sensor than {data.sensor}",
            Remedy("data.sensor", "WxH", "set the sensor of files that do not store it"),
        )

    facts = {"name": sample.name, "label": sample.label, "class": data.classes[sample.label], "group": sample.group}
    offset = append_sample(tar, key, packed.content, json.dumps(facts).encode())

    return StoredSample(
        key=key,
        name=sample.name,
        label=sample.label,
        group=sample.group,
        version=packed.version,
        counts=packed.counts,
        offset=offset,
        bytes=len(packed.content),
    )
