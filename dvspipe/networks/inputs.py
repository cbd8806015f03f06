"""Check the tensors and numbers that users pass to layers and learning rules."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ..base.errors import ConfigError, DataError


def check_tensor(
    owner: object, name: str, value: Tensor, dimensions: str, sizes: Mapping[str, int] | None = None
) -> None:
    """Check the shape of the argument `name` of `owner`, a layer, rule or function.

    `dimensions` names the axes, such as "T B C H W"; "..." stands for any others, and T is at least 1. `sizes` are the
    sizes of some axes.

    Example:
        >>> import torch
        >>> check_tensor(torch.nn.Linear(3, 2), "inputs", torch.zeros(5, 4), "B N", {"N": 3})
        Traceback (most recent call last):
        dvspipe.base.errors.DataError: Linear: wrong shape of inputs (found [5, 4], expected [B, N = 3])
    """
    axes = dimensions.removesuffix(" ...").split()
    known = sizes or {}

    fits = value.ndim == len(axes) or (value.ndim > len(axes) and dimensions.endswith("..."))
    for axis, size in zip(axes, value.shape, strict=False):
        if axis in known:
            fits = fits and size == known[axis]
        elif axis == "T":
            fits = fits and size > 0

    if not fits:
        listed = ", ".join(f"{axis} = {known[axis]}" if axis in known else axis for axis in dimensions.split())
        shape = f"found {[*value.shape]}, expected [{listed}]"
        raise DataError(f"{_name(owner)}: wrong shape of {name} ({shape})")


def _name(owner: object) -> str:
    """Return the name of a function or class, or of the class of an object."""
    return str(getattr(owner, "__name__", type(owner).__name__))


def check_positive(owner: str, **numbers: float) -> None:
    """Check that numbers are above 0.

    Example:
        >>> check_positive("eventprop", tau_mem=20.0, tau_syn=-5.0)
        Traceback (most recent call last):
        dvspipe.base.errors.ConfigError: eventprop: tau_syn = -5: expected a number above 0
    """
    for name, value in numbers.items():
        if not value > 0:
            raise ConfigError(f"{owner}: {name} = {value:g}: expected a number above 0")
