"""The settings that say which labelled recordings to learn from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from ..config import Settings
from ..conversion import ConvertConfig
from ..encoding import CODES
from .augmentation import VaryConfig


class DataConfig(Settings):
    """Which labelled recordings to learn from, and how they are divided."""

    kind: Literal["folder", "labelled", "nmnist", "dvsgesture", "gestures", "mnist"] = "folder"
    """`folder`: ROOT/<class>/<recording or video>, or ROOT/train/<class> and ROOT/test/<class>. `labelled`: recordings
    below ROOT, each with NAME_labels.csv beside it that says from when to when it shows which class. `nmnist`:
    ROOT/Train/<digit>/*.bin and ROOT/Test. `dvsgesture`: DVS128 Gesture as Tonic cuts it, or as IBM gives it.
    `gestures`: a folder with the classes of DVS128 Gesture, or, without a root, rendered ones. `mnist`: ROOT with the
    four files of MNIST, whose pictures become spikes by `code`."""
    root: Path | None = None
    """Folder of the data set."""
    test_root: Path | None = None
    """Another folder of the same kind, all of whose recordings are the test part."""
    download: bool = False
    """Lets Tonic download N-MNIST or DVS Gesture into the root where it is not there yet."""
    split: Path | None = None
    """The division into parts of an earlier run, its split.json; instead of drawing one."""
    sensor: str | None = Field(default=None, pattern=r"^\d+x\d+$")
    """The sensor of a folder's recordings, WIDTHxHEIGHT, for files that do not name it."""
    video: ConvertConfig = ConvertConfig()
    """How videos become events."""
    code: Literal["constant", *CODES] = "poisson"  # type: ignore[valid-type]
    """`mnist`: the code of a picture, as `dvspipe encode` has them, or `constant`: its values at every step."""
    code_settings: dict[str, float] = Field(default_factory=dict)
    """`mnist`: settings of the code; its steps are those of `bins`."""
    group: str | None = None
    """Regular expression on file names; what it matches (such as a person) stays on one side of every split. Without
    it, each recording stands alone, and the parts are drawn class by class."""
    validation: float = Field(default=0.1, gt=0, lt=1)
    """Share of the training groups on which the best epoch is chosen."""
    test: float = Field(default=0.2, gt=0, lt=1)
    """Share of the groups that make the test part of a data set that has none."""
    views: int = Field(default=1, ge=1, le=1000)
    """Variants of each training recording: the recording itself, and others changed as `vary` says."""
    vary: VaryConfig = VaryConfig()
    cache: Path | Literal["none"] | None = None
    """Folder where spike tensors and the events of videos are kept, to be made once; the user's cache by default."""
    train_people: int = Field(default=32, ge=2)
    """Rendered gestures: number of people to learn from."""
    test_people: int = Field(default=10, ge=1)
    """Rendered gestures: number of other people to test on."""
    clips: int = Field(default=2, ge=1)
    """Rendered gestures: clips per person and class."""

    @field_validator("root", "test_root", "split", "cache", mode="before")
    @classmethod
    def _path_is_text(cls, value: object) -> object:
        return str(value) if isinstance(value, int | float) else value  # a folder may be called 2024

    @field_validator("group")
    @classmethod
    def _group_compiles(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"not a regular expression ({error})") from error
        return value
