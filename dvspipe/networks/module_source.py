"""Sources of custom networks, and the values that they are built for; importing them needs no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from ..base.errors import ConfigError
from .config import NetworkConfig

if TYPE_CHECKING:
    from torch.nn import Module


@dataclass(frozen=True)
class ModuleTask:
    """Values that a network is built for; a target receives the values that it has parameters for.

    Args:
        shape: C, H, W of the spike tensors.
        classes: Number of classes K.
        dt: Length of a time step in seconds.
        steps: Number of steps T.
    """

    shape: tuple[int, ...]
    classes: int
    dt: float
    steps: int


@dataclass(frozen=True)
class ModuleSource:
    """Source of networks with `network = module`.

    Args:
        trust: Top-level packages allowed to run code.
        network: Network to use instead of the target; weights are loaded into it.
    """

    trust: tuple[str, ...] = ()
    network: Module | None = None

    @classmethod
    def of(cls, trust: str | Iterable[str], network: Module | None = None) -> Self:
        """Create a source that trusts one package or several packages."""
        return cls((trust,) if isinstance(trust, str) else tuple(trust), network)

    def check(self, config: NetworkConfig) -> None:
        """Check that a network or a trusted target is available.

        Raises:
            ConfigError: If neither is given, or the target's package is not trusted.
        """
        if config.network != "module":
            if self.network is not None:
                raise ConfigError(
                    f"network = {config.network}: builds a network of its own, but one was given"
                    "; use network=module to use yours"
                )
            return
        if self.network is not None:
            return
        if config.target is None:
            raise ConfigError("target: is missing (expected PACKAGE.MODULE:NAME, what makes the network)")

        module, _, _ = config.target.partition(":")
        package, _, _ = module.partition(".")
        if package not in self.trust:
            raise ConfigError(
                f"target = {config.target}: code that runs only if you trust its package; use trust={package} to run it"
            )


NO_MODULES = ModuleSource()
"""Trusts nothing."""
