"""NIR interpreter: compute the outputs of a file step by step, by the equations of its nodes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .nir_graph import import_nir


def run_nir(path: Path, spikes: Tensor, dt: float) -> Tensor:
    """Run a NIR file on spikes [T, B, C, H, W]; return its outputs [T, B, K]."""
    graph = import_nir().read(io.BytesIO(path.read_bytes()))
    order = _order_nodes(graph.edges)
    position = {name: number for number, name in enumerate(order)}
    sources_of = {name: [source for source, target in graph.edges if target == name] for name in order}

    state: dict[str, tuple[Tensor, Tensor]] = {}
    before: dict[str, Tensor] = {}  # outputs of the previous step
    steps = []
    _, *computed = order  # without the input
    for x in spikes.unbind(0):
        outputs = {"input": x}
        for name in computed:
            # An edge from a later node closes a loop: it carries the output of the previous step.
            inputs = []
            for source in sources_of[name]:
                carried = outputs if position[source] < position[name] else before
                if source in carried:
                    inputs.append(carried[source])

            first, *others = inputs
            outputs[name] = _run_node(graph.nodes[name], sum(others, first), name, state, dt)

        steps.append(outputs["output"])
        before = outputs

    return torch.stack(steps)


def _order_nodes(edges: Sequence[tuple[str, str]]) -> list[str]:
    """Sort the nodes topologically by depth-first search, ignoring the edges that close a loop."""
    # Nodes in the order in which their visits end, so each comes after all nodes that it leads to.
    visited: set[str] = set()
    finished: list[str] = []

    def visit(name: str) -> None:
        visited.add(name)
        for source, target in edges:
            if source == name and target not in visited:
                visit(target)
        finished.append(name)

    visit("input")
    return finished[::-1]


def _run_node(node: Any, x: Tensor, name: str, state: dict[str, tuple[Tensor, Tensor]], dt: float) -> Tensor:
    """Run one step of a node on inputs [B, ...]; the state of neurons in `state` is updated by forward Euler."""
    kind = type(node).__name__
    if kind in ("LIF", "CubaLIF"):
        spikes, state[name] = _run_neurons(node, x, state.get(name), dt)
        return spikes

    if kind == "Conv2d":
        weight = torch.from_numpy(node.weight)
        bias = torch.from_numpy(node.bias)
        convolved: Tensor = nn.functional.conv2d(x, weight, bias, tuple(node.stride), tuple(node.padding))
        return convolved

    if kind == "Flatten":
        return x.flatten(int(node.start_dim), int(node.end_dim))

    if kind in ("Affine", "Linear"):
        x = x @ torch.from_numpy(node.weight).to(x.dtype).T

    return x + torch.from_numpy(node.bias) if kind == "Affine" else x


def _run_neurons(
    node: Any, x: Tensor, state: tuple[Tensor, Tensor] | None, dt: float
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Run one step of LIF or CubaLIF neurons; return their spikes, and their synaptic current and membrane."""
    values = {name: torch.from_numpy(value) for name, value in vars(node).items() if isinstance(value, np.ndarray)}
    current, v = state or (torch.zeros_like(x), torch.zeros_like(x))

    # The current first, as CubaLIF's membrane sees the current of the same step; LIF has none.
    has_current = "tau_syn" in values
    current = current + dt / values["tau_syn"] * (values["w_in"] * x - current) if has_current else x

    leak = dt / values["tau_mem" if has_current else "tau"]
    v = v + leak * (values["v_leak"] - v + values["r"] * current)

    fires = v > values["v_threshold"]
    return fires.to(x.dtype), (current, torch.where(fires, values["v_reset"], v))
