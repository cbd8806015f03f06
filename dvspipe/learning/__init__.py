"""Rules that change weights, one module for each."""

from .readout import (
    ReadoutFit,
    find_features,
    find_readout,
    fit_readout,
    is_linear,
    read_features,
    readout_gradient,
    replace_readout,
    require_linear,
)

__all__ = [
    "ReadoutFit",
    "find_features",
    "find_readout",
    "fit_readout",
    "is_linear",
    "read_features",
    "readout_gradient",
    "replace_readout",
    "require_linear",
]
