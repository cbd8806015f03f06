"""Functions of `dvspipe` as methods of `Events`: `events.filter(...)` is `dvspipe.filter(events, ...)`.

The functions belong to later rooms, which `events` cannot import. A method finds its function by its public name when
it is used; only type checkers and editors see the import.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Literal, Unpack, cast

if TYPE_CHECKING:
    from .. import torch
    from ..encoding import bins
    from ..inference import Classifier, InferConfig
    from ..inference.config import InferKeywords
    from ..report import notebook
    from ..results import Prediction
    from ..verbs import editing, inspection
    from . import joining


class _Verb:
    """Public function that takes events first, as a method.

    Args:
        name: Name of the function in `dvspipe`.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, events: object | None, owner: type) -> Callable[..., Any]:
        function = resolve_name(f"dvspipe.{self._name}")
        return function if events is None else types.MethodType(function, events)


class EventMethods:
    """Functions of `dvspipe` that take one recording, as methods of `Events`; their arguments and errors apply."""

    __slots__ = ()

    if TYPE_CHECKING:  # mypy cannot follow a circle of files, editors can
        animate = notebook.animate
        check = inspection.check
        cut = editing.cut  # type: ignore[has-type]
        encode = bins.encode
        filter = editing.filter  # type: ignore[has-type]
        plot = notebook.plot
        to_torch = torch.to_tensor
        view = inspection.view
        windows = joining.windows
    else:
        animate = _Verb("animate")
        check = _Verb("check")
        cut = _Verb("cut")
        encode = _Verb("encode")
        filter = _Verb("filter")
        plot = _Verb("plot")
        to_torch = _Verb("torch.to_tensor")
        view = _Verb("view")
        windows = _Verb("windows")

    def save(self, path: str | Path, *, compression: Literal["gzip", "blosc"] = "gzip", overwrite: bool = False) -> int:
        """Write the events in the format of the suffix, as `dvspipe.write(path, events)`; return their number.

        Args:
            path: Output file.
            compression: HDF5 compression, as in `dvspipe.write`.
            overwrite: Whether to replace an existing file.

        Raises:
            FileError: If the file exists, cannot be written, or has a suffix that dvspipe does not write.

        Example:
            >>> import tempfile
            >>> from dvspipe import Events, read
            >>> events = Events([0, 5], [3, 4], [1, 1], [True, False], "12x7")
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     events.save(f"{folder}/two.h5")
            ...     read(f"{folder}/two.h5") == events
            2
            True
        """
        write = resolve_name("dvspipe.write")
        return cast(int, write(path, self, compression=compression, overwrite=overwrite))

    def infer(
        self,
        checkpoint: Classifier | str | Path,
        config: InferConfig | Mapping[str, object] | None = None,
        **named: Unpack[InferKeywords],
    ) -> Prediction:
        """Return the prediction of a trained network; see `dvspipe.infer`.

        Args:
            checkpoint: `Classifier`, or a checkpoint: file, run folder, name of an included classifier, hub address.
            config: `InferConfig`, or a mapping.
            named: Settings of `InferConfig`.

        Example:
            >>> from dvspipe.synthesis import GestureClip, record_gesture
            >>> events = record_gesture(GestureClip(1, person=0, clip=0, seed=0))
            >>> events.infer("gesture").class_name
            'right_hand_wave'
        """
        infer = resolve_name("dvspipe.infer")
        return cast("Prediction", infer(checkpoint, self, config=config, **named))
