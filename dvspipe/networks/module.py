"""Custom networks: run any PyTorch module over time, and make its state explicit if it has one.

Files never run code. `NetworkConfig.target` is imported only if the user trusts its package, and it must be defined in
that package; a checkpoint cannot call something that the package merely imports.
"""

from __future__ import annotations

import inspect
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..base.errors import ConfigError, DvspipeError
from .config import ModuleCall, NetworkConfig
from .models import Network, State
from .module_source import ModuleSource, ModuleTask

PACKAGE = Path(__file__).parents[1]
RESETS = ("reset_mem", "reset")  # state resets of snnTorch and SpikingJelly modules
STORED = (
    torch.float16,
    torch.float32,
    torch.float64,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
)


def build_module(source: ModuleSource, config: NetworkConfig, task: ModuleTask) -> ModuleNetwork:
    """Build the network of a configuration.

    Raises:
        ConfigError: If the target is not trusted, cannot be imported, or is not a module with storable weights.
    """
    source.check(config)
    if source.network is not None:
        return ModuleNetwork(source.network, config.call, task.classes, "network")

    assert config.target is not None
    name = f"target = {config.target}"

    module = _call(_import_target(config.target, name), config.target_options, task, name)
    return ModuleNetwork(module, config.call, task.classes, name)


class ModuleNetwork(Network):
    """Custom PyTorch module as a network.

    Args:
        module: Module to run.
        call: Calling convention; see `NetworkConfig.call`.
        classes: Number of classes K.
        name: Name in messages.

    Raises:
        ConfigError: If it is not a module, has no weights, stores values other than plain tensors, or has no state to
            reset.

    Example:
        >>> import norse.torch as norse
        >>> cells = norse.SequentialState(nn.Flatten(), nn.Linear(24, 8), norse.LIFBoxCell(dt=1e-3), nn.Linear(8, 2))
        >>> network = ModuleNetwork(cells, "step_state", 2)
        >>> spikes = torch.ones(20, 3, 2, 3, 4)
        >>> outputs, state = network(spikes)
        >>> first, before = network(spikes[:5])
        >>> outputs.shape, torch.equal(outputs[5:], network(spikes[5:], before)[0])
        (torch.Size([20, 3, 2]), True)
    """

    of_classes = ()  # unknown for a custom module

    def __init__(self, module: nn.Module, call: ModuleCall, classes: int, name: str = "network") -> None:
        super().__init__()
        _check_module(module, name)
        self.module = module
        self.call = call
        self.classes = classes
        self.name = name

        self.streams = call.endswith("_state")
        self._structure: object = None  # structure of the state, with ... instead of tensors
        self._resets = [] if self.streams else _find_resets(module)

        if call == "step" and not self._resets:
            raise ConfigError(
                f"{name}: has no state to reset (expected modules with {' or '.join(RESETS)} for call = step)"
            )

    def forward(self, spikes: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return the outputs, and the tensors of the state; see `Network`.

        Raises:
            ConfigError: If the module raises an error, or returns an unexpected value.
        """
        # Events are counts; the module computes in the dtype of its weights.
        dtype = next(weights.dtype for weights in self.parameters() if weights.is_floating_point())
        numbers = spikes.to(dtype)
        try:
            output, after = self._run(numbers, self._restore(state))
        except (DvspipeError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            raise ConfigError(f"{self.name}: {_explain(error)}, for an input {list(numbers.shape)}") from error

        return self._as_steps(output, spikes.shape[:2]), self._flatten(after)

    def _run(self, spikes: Tensor, state: Any) -> tuple[object, Any]:
        """Return output and state of the module."""
        if self.call == "sequence":
            self._reset()
            output = _first(self.module(spikes))
            self._reset()
            return output, ()

        if self.call == "sequence_state":
            return self._pair(self.module(spikes, state))

        # State inside the module must not pass from one recording to the next.
        outputs = []
        self._reset()

        for step in spikes.unbind(0):
            if self.call == "step":
                output = _first(self.module(step))
                state = ()
            else:
                output, state = self._pair(self.module(step, state))
            outputs.append(output)

        # The module must keep no graph of this call.
        self._reset()

        return torch.stack(outputs), state

    def _reset(self) -> None:
        for reset in self._resets:
            reset()

    def _pair(self, returned: object) -> tuple[Any, Any]:
        if not isinstance(returned, tuple) or len(returned) != 2:
            raise ConfigError(
                f"{self.name}: returned a {type(returned).__name__} (expected an output and a state for call = "
                f"{self.call})"
            )
        return returned

    def _as_steps(self, output: object, leading: torch.Size) -> Tensor:
        """Expand an output [T, B, K] or [B, K] to [T, B, K]."""
        T, B = leading
        accepted: dict[str, tuple[int, ...]] = {"[T, B, K]": (T, B, self.classes)}
        if self.call.startswith("sequence"):
            accepted["[B, K]"] = (B, self.classes)

        returned = type(output).__name__
        if isinstance(output, Tensor):
            if tuple(output.shape) in accepted.values() and output.is_floating_point():
                return output if output.ndim == 3 else output.expand(T, -1, -1)
            returned = f"{output.dtype} {list(output.shape)}"

        expected = " or ".join(f"{letters} = {list(shape)}" for letters, shape in accepted.items())
        raise ConfigError(f"{self.name}: returned {returned} (expected numbers {expected})")

    def _flatten(self, state: object) -> State:
        """Return the tensors of a state; store its structure."""
        tensors: list[Tensor] = []

        def take_out(leaf: object) -> object:
            if not isinstance(leaf, Tensor) or not leaf.is_floating_point():  # others have no gradient
                kind = leaf.dtype if isinstance(leaf, Tensor) else type(leaf).__name__
                raise ConfigError(
                    f"{self.name}: has a state with {kind} (expected floating-point tensors in tuples, lists and "
                    "dictionaries)"
                )

            tensors.append(leaf)
            return ...

        self._structure = _map_leaves(take_out, state)
        return tensors

    def _restore(self, state: State | None) -> object:
        """Rebuild the module's state from its tensors."""
        if state is None:
            return None

        tensors = iter(state)
        return _map_leaves(lambda _: next(tensors), self._structure)

    def try_out(self, task: ModuleTask) -> None:
        """Call the module once without events, to check it and to initialise lazy weights.

        Raises:
            ConfigError: If `forward` fails.
        """
        # Dropout and batch norm must not change in a trial.
        was_training = self.training
        self.eval()

        with torch.no_grad():
            self(torch.zeros(task.steps, 1, *task.shape))

        self.train(was_training)


def _map_leaves(change: Callable[[object], object], state: object) -> Any:
    """Apply `change` to all leaves of nested tuples, lists and dictionaries, except None."""
    if state is None:
        return None
    if isinstance(state, dict):
        return {key: _map_leaves(change, value) for key, value in state.items()}
    if not isinstance(state, tuple | list):
        return change(state)

    members = [_map_leaves(change, member) for member in state]
    if isinstance(state, list):
        return members

    return type(state)(*members) if hasattr(state, "_fields") else tuple(members)


def _check_module(module: object, name: str) -> None:
    if not isinstance(module, nn.Module):
        raise ConfigError(f"{name}: is a {type(module).__name__} (expected a torch.nn.Module)")
    if hasattr(module, "_orig_mod"):  # whose weights would have other names
        raise ConfigError(f"{name}: is compiled by torch.compile (expected the module that was given to it)")
    if not any(weights.is_floating_point() for weights in module.parameters()):
        raise ConfigError(f"{name}: has no weights (expected at least one parameter)")

    for key, value in module.state_dict().items():
        kind = value.dtype if isinstance(value, Tensor) else type(value).__name__
        if kind not in STORED:
            raise ConfigError(f"{name}: its {key} is of type {kind}, which cannot be stored (expected real numbers)")


def _find_resets(module: nn.Module) -> list[Callable[[], object]]:
    """Return the state resets of a module and its parts, like SpikingJelly's `functional.reset_net`.

    Methods that fail without arguments, or change weights, have another purpose and are skipped.
    """
    resets = (
        next((method for name in RESETS if callable(method := getattr(part, name, None))), None)
        for part in module.modules()
    )
    return [reset for reset in resets if reset is not None and _clears_state(module, reset)]


def _clears_state(module: nn.Module, reset: Callable[[], object]) -> bool:
    """Call a method; return whether it works and keeps the weights. Restore changed weights."""
    # A method of this name may also draw new weights. Lazy weights have no values yet.
    weights = [parameter for parameter in module.parameters() if not isinstance(parameter, nn.UninitializedParameter)]
    before = [parameter.detach().clone() for parameter in weights]

    try:
        reset()
    except Exception:
        return False

    is_kept = all(map(torch.equal, weights, before))
    with torch.no_grad():
        for parameter, value in zip(weights, before, strict=True):
            parameter.copy_(value)

    return is_kept


def _first(returned: object) -> Any:
    """Return the first output of a module; others, such as a membrane, are ignored."""
    return returned[0] if isinstance(returned, tuple) and returned else returned


def _import_target(target: str, name: str) -> Any:
    """Import a target from an installed package, or from a trusted one in the current folder."""
    module, _, attribute = target.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        imported = getattr(import_module(module), attribute)
    except Exception as error:
        raise ConfigError(f"{name}: cannot be imported ({_explain(error)})") from error

    home = str(getattr(imported, "__module__", None))
    if not (inspect.isclass(imported) or inspect.isfunction(imported)) or home.split(".")[0] != module.split(".")[0]:
        raise ConfigError(
            f"{name}: is a {type(imported).__name__} of {home} (expected a class or function that "
            f"{module.partition('.')[0]} defines)"
        )

    return imported


def _call(target: Any, options: Mapping[str, object], task: ModuleTask, name: str) -> nn.Module:
    """Call a class or function with what it takes of the task, and with the options of the configuration."""
    try:
        known = inspect.signature(target).parameters
        of_task = {key: getattr(task, key) for key in ("shape", "classes", "dt", "steps") if key in known}

        # Options of the configuration replace values of the task.
        module: nn.Module = target(**{**of_task, **options})
    except DvspipeError:
        raise
    except Exception as error:
        raise ConfigError(f"{name}: cannot be built ({_explain(error)})") from error

    return module


def _explain(error: Exception) -> str:
    """Format an error of user code in one line: kind, place outside libraries, and message."""
    frames = traceback.extract_tb(error.__traceback__)
    user_frames = [frame for frame in frames if _is_of_user(Path(frame.filename))]
    where = ""
    if user_frames:
        last = user_frames[-1]
        where = f" in {Path(last.filename).name}, line {last.lineno}"
    return f"{type(error).__name__}{where}: {' '.join(str(error).split())}"


def _is_of_user(path: Path) -> bool:
    return path.is_file() and "site-packages" not in path.parts and PACKAGE not in path.parents
