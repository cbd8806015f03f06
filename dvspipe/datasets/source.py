"""What every kind of data set is opened from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from ..encoding import BinConfig
from ..errors import DataError, Remedy
from ..events import SensorSize
from .cache import Cache
from .config import FilesConfig, RecordingsConfig, SourceConfig, TonicConfig
from .decoded import DecodedEvents

ConfigT = TypeVar("ConfigT", bound=SourceConfig, covariant=True)


@dataclass(frozen=True)
class DataSource(Generic[ConfigT]):
    """What a data set is opened from.

    Args:
        config: Kind, folders, and shares of the parts.
        seed: Seed of the division into parts and of rendered clips.
        bins: Steps of the spike tensors, which the spike code of images also has.
        cache: Where the events of videos are kept; None: nowhere.
        decoded: The events of recordings that are kept in memory; None: none are.
    """

    config: ConfigT
    seed: int
    bins: BinConfig
    cache: Cache | None
    decoded: DecodedEvents | None = None

    @property
    def root(self) -> Path:
        """The folder of the data set.

        Raises:
            DataError: There is none.
        """
        if self.config.root is None:
            raise DataError(
                f"{self.config.kind}: the folder of the recordings, data.root, is missing", Remedy("data.root", "DIR")
            )
        return self.config.root

    @property
    def sensor(self: DataSource[FilesConfig | TonicConfig]) -> SensorSize | None:
        """The sensor given in the configuration, if any."""
        return SensorSize.parse(self.config.sensor) if self.config.sensor else None

    def group_of(self: DataSource[RecordingsConfig], file: Path, name: str | None = None) -> str:
        """Return the group of a recording: the match of `data.group` in its name, or the file itself.

        Args:
            file: The file.
            name: The name in which the match is searched for; default: that of the file.

        Raises:
            DataError: The name does not match.
        """
        if self.config.group is None:
            return str(file)
        found = re.search(self.config.group, file.name if name is None else name)
        if not found:
            raise DataError(
                f"{file}: the name does not match data.group = {self.config.group!r}",
                Remedy("data.group", "null", "make each recording a group of its own"),
            )
        return found.group()
