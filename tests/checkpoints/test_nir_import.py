"""NIR files of other libraries, compiled to integers: equal to the library in floats, and to the C code in integers."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from c_targets import C_COMPILER
from facts import mentions, raises
from numpy.typing import NDArray

from dvspipe.base.errors import CheckpointError, ConfigError, FileError, FormatError
from dvspipe.checkpoints.checkpoint import ClassifierConfig
from dvspipe.checkpoints.integer import IntegerClassifier
from dvspipe.checkpoints.nir_import import read_nir
from dvspipe.encoding import BinConfig
from dvspipe.formats.hdf5.tree import MAX_TREE_BYTES, read_tree
from dvspipe.integers.c_code import export_c
from dvspipe.networks import ModuleConfig
from dvspipe.networks.integer import IntegerNetwork, run
from dvspipe.networks.integer_kernel import run_fast
from dvspipe.networks.quantisation import quantise

nir = pytest.importorskip("nir")
FILES = Path(__file__).parent / "nir"
SHAPE = (2, 7, 12)
CLASSES = ("a", "b", "c", "d")
STEPS_S = {"snntorch": 1e-4, "snntorch-synaptic": 1e-4, "spikingjelly": 1e-4, "norse": 1e-6}
"""Steps with which the files were written; Norse 1.1 writes its step of 1 ms times tau in place of tau."""


def draw_counts() -> NDArray[np.uint8]:
    """Draw the counts that `nir/write.py` gave to the libraries, uint8 [T, B, 2, 7, 12]."""
    return np.random.default_rng(0).poisson(0.3, (20, 3, *SHAPE)).astype(np.uint8)


def unpack(name: str, folder: Path) -> Path:
    """Write a file of a library to a folder."""
    path = folder / f"{name}.nir"
    path.write_bytes(gzip.decompress((FILES / f"{name}.nir.gz").read_bytes()))
    return path


def run_float(network: Any, counts: NDArray[np.uint8]) -> NDArray[np.float32]:
    with torch.no_grad():
        outputs: NDArray[np.float32] = network(torch.from_numpy(counts))[0].numpy()
    return outputs


def compile_to_c(network: IntegerNetwork, folder: Path) -> None:
    """Export a network, compile it with the C compiler of this machine, and compare the golden scores."""
    if C_COMPILER is None:
        pytest.skip("no C compiler is installed")
    config = ClassifierConfig(
        classes=CLASSES, width=12, height=7, bins=BinConfig(steps=20, step_us=1000), network=ModuleConfig()
    )
    IntegerClassifier(config, network).save(folder / "a8.safetensors")
    export_c(folder / "a8.safetensors", folder / "code")
    checked = subprocess.run(C_COMPILER.build(folder / "code", "check"), capture_output=True, text=True, check=False)
    assert checked.returncode == 0
    assert mentions(checked.stdout, 20)


@pytest.mark.parametrize("name", STEPS_S)
def test_file_of_a_library_computes_as_the_library_and_as_c(name: str, tmp_path: Path) -> None:
    """In floats, each spike is the library's. In integers, the mean error is below 2 % of the range of the logits."""
    path = unpack(name, tmp_path)
    network = read_nir(path, SHAPE, CLASSES, STEPS_S[name])
    counts = draw_counts()
    outputs = run_float(network, counts)
    file: Any = read_tree(path)
    recorded = file["node"]["metadata"]
    assert mentions(recorded["written_by"], name.partition("-")[0])
    assert np.abs(outputs - recorded["outputs"]).max() <= 1e-6

    compiled = quantise(network, torch.from_numpy(counts))
    scores = np.stack([run_fast(compiled, recording) for recording in counts.swapaxes(0, 1)])
    assert (scores == np.stack([run(compiled, recording) for recording in counts.swapaxes(0, 1)])).all()
    logits = outputs.mean(0)
    assert np.abs(compiled.readout.unit * scores[:, -1] / len(counts) - logits).mean() < 0.02 * np.ptp(logits)
    compile_to_c(compiled, tmp_path)


def write_chain(path: Path, *nodes: Any, edges: list[tuple[str, str]] | None = None) -> Path:
    """Write a graph of nodes one after the other; their names are n1, n2, ..."""
    named = {f"n{number}": node for number, node in enumerate(nodes, start=1)}
    names = ["input", *named, "output"]
    graph = nir.NIRGraph(
        {"input": nir.Input(np.array(SHAPE)), **named, "output": nir.Output(np.array([4]))},
        [*pairwise(names)] if edges is None else edges,
        type_check=False,
    )
    content = io.BytesIO()
    nir.write(content, graph)
    path.write_bytes(content.getvalue())
    return path


def numbers(*shape: int, low: float = -1.0, high: float = 1.0, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def conv(rows: int = 3, columns: int = 5, *, padding: Any = 1, stride: int = 1, groups: int = 1) -> Any:
    return nir.Conv2d((7, 12), numbers(3, 2 // groups, rows, columns), stride, padding, 1, groups, numbers(3, seed=1))


def lif(*shape: int, **changes: Any) -> Any:
    values = {"tau": 3e-4, "r": 2.0, "v_leak": 0.1, "v_threshold": 0.6, "v_reset": 0.0} | changes
    return nir.LIF(**{name: np.broadcast_to(value, shape).astype(np.float32) for name, value in values.items()})


def cuba(*shape: int, **changes: Any) -> Any:
    values = {"tau_syn": 2e-4, "tau_mem": 3e-4, "r": 2.0, "v_leak": 0.0, "v_threshold": 0.6, "w_in": 1.5}
    arrays = {name: np.broadcast_to(value, shape).astype(np.float32) for name, value in (values | changes).items()}
    return nir.CubaLIF(**arrays, v_reset=np.zeros(shape, np.float32))


def pool(kind: Any, side: int, stride: int | None = None) -> Any:
    return kind(np.array([side, side]), np.array([stride or side] * 2), np.array([0, 0]))


def flatten() -> Any:
    return nir.Flatten({"input": np.array([3, 3, 5])}, 0, -1)


def affine(features: int, outputs: int = 4) -> Any:
    return nir.Affine(numbers(outputs, features, seed=2), numbers(outputs, seed=3))


def simulate(nodes: tuple[Any, ...], counts: NDArray[np.uint8], dt: float) -> NDArray[np.float64]:
    """Run a chain of nodes by the equations of NIR, in float64; return the outputs [T, B, K]."""
    state: dict[int, tuple[Any, Any]] = {}
    outputs = []
    for step in counts.astype(np.float64):
        x = step
        for number, node in enumerate(nodes):
            x = simulate_node(node, x, number, state, dt)
        outputs.append(x)
    return np.stack(outputs)


def simulate_node(node: Any, x: Any, number: int, state: dict[int, tuple[Any, Any]], dt: float) -> Any:
    kind = type(node).__name__
    if kind == "Conv2d":
        top = {"same": node.weight.shape[2] // 2, "valid": 0}.get(node.padding, node.padding[0])
        padded = np.pad(x, ((0, 0), (0, 0), (top, top), (top, top)))
        patches = np.lib.stride_tricks.sliding_window_view(padded, node.weight.shape[2:], axis=(2, 3))
        return np.einsum("bchwij,ocij->bohw", patches, node.weight) + node.bias[:, None, None]
    if kind == "Flatten":
        return x.reshape(len(x), -1)
    if kind in ("Affine", "Linear"):
        return x.reshape(len(x), -1) @ node.weight.T + (node.bias if kind == "Affine" else 0)
    if kind.endswith("Pool2d"):
        side = int(node.kernel_size[0])
        H, W = x.shape[2] // side, x.shape[3] // side
        squares = x[:, :, : H * side, : W * side].reshape(*x.shape[:2], H, side, W, side)
        return squares.sum((3, 5)) if kind == "SumPool2d" else squares.mean((3, 5))

    v, current = state.get(number, (np.zeros_like(x), np.zeros_like(x)))
    if kind == "CubaLIF":
        x = current = current + dt / node.tau_syn * (node.w_in * x - current)
    v = v + dt / getattr(node, "tau_mem" if kind == "CubaLIF" else "tau") * (node.v_leak - v + node.r * x)
    fires = v > node.v_threshold if kind != "LI" else np.zeros(v.shape, np.bool_)
    state[number] = np.where(fires, 0, v), current
    return v if kind == "LI" else fires.astype(np.float64)


THRESHOLDS = np.array([0.4, 0.6, 1.5])[:, None, None]
GRAPHS: dict[str, Callable[[], tuple[Any, ...]]] = {
    "sums": lambda: (
        conv(),
        lif(3, 7, 10, v_threshold=THRESHOLDS),
        pool(nir.SumPool2d, 2),
        flatten(),
        affine(45),
        lif(4, v_leak=0.0),
    ),
    "averages": lambda: (
        conv(3, 3, padding="same"),
        lif(3, 7, 12, r=THRESHOLDS),
        pool(nir.AvgPool2d, 3),
        affine(24),
        cuba(4),
    ),
    "no memory": lambda: (
        conv(2, 2, padding="valid"),
        cuba(3, 6, 11, tau_syn=1e-4, tau_mem=1e-4, v_leak=0.1),
        nir.Linear(numbers(5, 198, seed=4) / 3),
        lif(5),
        affine(5),
    ),
    "integrators": lambda: (
        flatten(),
        affine(168, 6),
        lif(6),
        affine(6),
        nir.LI(np.full(4, 5e-4), np.full(4, 2.0), np.full(4, 0.3)),
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_graph_computes_as_its_equations_and_as_c(name: str, tmp_path: Path) -> None:
    nodes = GRAPHS[name]()
    counts = draw_counts()
    expected = simulate(nodes, counts, 1e-4)
    network = read_nir(write_chain(tmp_path / "a.nir", *nodes), SHAPE, CLASSES, 1e-4)
    outputs = run_float(network, counts)
    assert np.abs(outputs - expected).max() < 1e-5 * max(np.abs(expected).max(), 1)
    assert expected.std() > 0.1

    compiled = quantise(network, torch.from_numpy(counts))
    recordings = counts.swapaxes(0, 1)
    scores = np.stack([run_fast(compiled, recording) for recording in recordings])
    assert (scores == np.stack([run(compiled, recording) for recording in recordings])).all()
    found = compiled.readout.unit * scores[:, -1] / len(counts)
    assert np.abs(found - expected.mean(0)).mean() < 0.03 * np.ptp(expected.mean(0))
    compile_to_c(compiled, tmp_path)


LAST = (affine(252), lif(4))


@pytest.mark.parametrize(
    ("nodes", "facts"),
    [
        ((conv(stride=2), lif(3, 4, 5), *LAST), ("n1 (Conv2d)", "stride", 2, 1)),
        ((conv(groups=2), lif(3, 7, 10), *LAST), ("n1 (Conv2d)", "groups", 2)),
        ((conv(padding=(1, 2)), lif(3, 7, 12), *LAST), ("n1 (Conv2d)", "padding", 1, 2)),
        ((conv(9, 9, padding=0), lif(3, 1, 4), *LAST), ("n1 (Conv2d)", "7 x 12", "9 x 9")),
        ((flatten(), conv(), lif(3, 7, 10), *LAST), ("n2 (Conv2d)", "flattened")),
        ((nir.Flatten({"input": np.array(SHAPE)}, 1, -1), *LAST), ("n1 (Flatten)", "1 to -1")),
        ((affine(167), lif(4)), ("n1 (Affine)", "(4, 167)", 168)),
        ((affine(168, 5), lif(5)), ("n1 (Affine)", 5, 4, "a, b, c")),
        ((affine(168), affine(4), lif(4)), ("n2 (Affine)", "Affine", "LIF")),
        ((lif(*SHAPE), *LAST), ("n1 (LIF)", "Conv2d")),
        ((conv(3, 3), lif(3, 7, 12)), ("n1 (Conv2d)", "Linear", "Affine")),
        ((conv(3, 3), pool(nir.SumPool2d, 2), lif(3, 3, 6)), ("n2 (SumPool2d)", "LIF")),
        ((conv(3, 3), lif(3, 7, 12), pool(nir.AvgPool2d, 2, 1), *LAST), ("n3 (AvgPool2d)", "2 x 2", "1 x 1")),
        ((affine(168), lif(4, tau=9e-5)), ("n2 (LIF)", "tau", "9e-05", 0.0001, "dt=")),
        ((affine(168), lif(4, tau=[1e-3, 2e-3, 1e-3, 1e-3])), ("n2 (LIF)", "tau", "0.001 to 0.002")),
        ((affine(168), lif(4, tau=np.inf)), ("n2 (LIF)", "tau", "infinity")),
        ((affine(168), lif(4, v_reset=0.1)), ("n2 (LIF)", "v_reset", 0)),
        ((affine(168), lif(4, v_threshold=0.0)), ("n2 (LIF)", "v_threshold", 0)),
        ((affine(168), cuba(4, v_leak=0.1)), ("n2 (CubaLIF)", "v_leak", 0)),
        ((affine(168), lif(3)), ("n2 (LIF)", "v_threshold", 3, 4)),
        ((conv(3, 3), lif(3, 7, 12, r=numbers(3, 7, 12)), *LAST), ("n2 (LIF)", "r", "channel")),
        ((affine(168), nir.IF(np.ones(4), np.ones(4))), ("n2 (IF)", "LIF", "CubaLIF")),
        ((nir.LI(np.ones(4), np.ones(4), np.zeros(4)), *LAST), ("n1 (LI)", "last")),
        ((nir.Scale(np.ones(SHAPE)), *LAST), ("n1 (Scale)", "Conv2d")),
    ],
)
def test_node_that_does_not_fit_is_named(nodes: tuple[Any, ...], facts: tuple[object, ...], tmp_path: Path) -> None:
    with raises(ConfigError, "a.nir", *facts) as caught:
        read_nir(write_chain(tmp_path / "a.nir", *nodes), SHAPE, CLASSES, 1e-4)
    assert "\n" not in str(caught.value)


def test_other_graphs_and_inputs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.nir"
    loop = [("input", "n1"), ("n1", "n2"), ("n2", "n1"), ("n2", "output")]
    with raises(ConfigError, "a.nir", "n1 (Affine)", 2, 1):
        read_nir(write_chain(path, affine(168), lif(4), edges=loop), SHAPE, CLASSES, 1e-4)
    aside = [("input", "n3"), ("n3", "output"), ("n1", "n2"), ("n2", "n1")]
    with raises(ConfigError, "a.nir", "n1 (Affine)", "output"):
        read_nir(write_chain(path, affine(168), lif(4), affine(168), edges=aside), SHAPE, CLASSES, 1e-4)
    write_chain(path, affine(168), lif(4))
    with raises(ConfigError, "a.nir", "input (Input)", "2 x 7 x 12", "1 x 7 x 12"):
        read_nir(path, (1, 7, 12), CLASSES, 1e-4)
    for dt in (0.0, -1.0, float("nan"), float("inf")):
        with raises(ConfigError, "dt"):
            read_nir(path, SHAPE, CLASSES, dt)
    with raises(CheckpointError, "a.nir", "quantise"):
        export_c(path, tmp_path / "code")


def edit_links(file: h5py.File) -> None:
    file["node/nodes/n1/weight2"] = h5py.ExternalLink("/etc/passwd", "/")


def edit_loop(file: h5py.File) -> None:
    file["node/nodes/n1/again"] = file["node"]


def edit_size(file: h5py.File) -> None:
    file["node/nodes/n1"].create_dataset("huge", (MAX_TREE_BYTES,), "f8", chunks=(1000,), compression="gzip")


def edit_text(file: h5py.File) -> None:
    file["node/nodes/n1/long"] = "x" * 200_000


def edit_neurons(file: h5py.File) -> None:
    del file["node/nodes/n1/weight"]
    file["node/nodes/n1"].create_dataset("weight", (1 << 18, 2, 1, 1), "i1")
    file["node/nodes/n1/type"][()] = "Conv2d"
    for name in ("stride", "dilation", "groups", "padding"):
        file[f"node/nodes/n1/{name}"] = [1, 1]


def edit_edges(file: h5py.File) -> None:
    del file["node/edges"]
    file["node/edges"] = [["input"], ["n1"]]


def edit_threshold(file: h5py.File) -> None:
    file["node/nodes/n2/v_threshold"][...] = 1e-30


def edit_empty(file: h5py.File) -> None:
    del file["node/nodes/n2/tau"]
    file["node/nodes/n2/tau"] = np.zeros(0)


def edit_type(file: h5py.File) -> None:
    del file["node/nodes/n1/type"]


def edit_weight(file: h5py.File) -> None:
    file["node/nodes/n1/weight"][0, 0] = np.nan


@pytest.mark.parametrize(
    ("edit", "kind", "facts"),
    [
        (edit_links, FormatError, ("weight2", "link")),
        (edit_loop, FormatError, ("again", 16)),
        (edit_size, FormatError, ("huge", f"{MAX_TREE_BYTES:,}")),
        (edit_text, FormatError, ("long", "200,000")),
        (edit_type, FormatError, ("n1", "type")),
        (edit_weight, ConfigError, ("n1 (Affine)", "weight", "NaN")),
        (edit_edges, FormatError, ("node",)),
        (edit_threshold, ConfigError, ("n1 (Affine)", "weight", "v_threshold", "1e+12")),
        (edit_empty, ConfigError, ("n2 (LIF)", "tau")),
        (edit_neurons, ConfigError, ("n1 (Conv2d)", "33,030,144")),
    ],
)
def test_file_from_elsewhere_is_bounded(
    edit: Callable[[h5py.File], None], kind: type[Exception], facts: tuple[object, ...], tmp_path: Path
) -> None:
    path = write_chain(tmp_path / "a.nir", affine(168), lif(4))
    with h5py.File(path, "r+") as file:
        edit(file)
    with raises(kind, "a.nir", *facts):
        read_nir(path, SHAPE, CLASSES, 1e-4)


def test_truncated_missing_and_foreign_files_are_one_line(tmp_path: Path) -> None:
    path = write_chain(tmp_path / "a.nir", affine(168), lif(4))
    content = path.read_bytes()
    for size in (0, 100, len(content) // 2):
        path.write_bytes(content[:size])
        with raises(FileError, "a.nir"):
            read_nir(path, SHAPE, CLASSES, 1e-4)
    with raises(FileError, "b.nir"):
        read_nir(tmp_path / "b.nir", SHAPE, CLASSES, 1e-4)
    with h5py.File(path, "w") as file:
        file["events"] = [1]
    with raises(FormatError, "a.nir", "events", "node"):
        read_nir(path, SHAPE, CLASSES, 1e-4)


def test_reading_needs_no_library_of_nir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_chain(tmp_path / "a.nir", affine(168), lif(4))
    monkeypatch.setitem(sys.modules, "nir", None)
    read_nir(path, SHAPE, CLASSES, 1e-4)
