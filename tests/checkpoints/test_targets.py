"""Layers on targets: the table of the guide, the memory of Speck's cores, and the command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from commands import dvspipe
from facts import mentions

from dvspipe.checkpoints.checkpoint import ClassifierConfig
from dvspipe.checkpoints.targets import (
    CORES,
    KIB,
    TARGETS,
    LayerShape,
    assign_cores,
    check_target,
    find_memory,
    list_layers,
)
from dvspipe.encoding import BinConfig
from dvspipe.networks import parse_network

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "export.md"
PLAIN: dict[str, Any] = {"channels": [3, 3], "kernel": 3, "pool": 1}
FEATURES: dict[str, tuple[dict[str, Any], str]] = {
    "convolution, norm, LIF": (PLAIN, "lif1"),
    "linear layer, LIF": ({"kind": "mlp", "channels": [5]}, "lif1"),
    "average pooling": (PLAIN | {"pool": 2}, "lif1"),
    "maximum pooling": (PLAIN | {"kind": "plif", "hidden": 5, "pool": 2}, "lif1"),
    "residual (`sew`)": (PLAIN | {"kind": "sew"}, "lif3"),
    "`reset: subtract`": (PLAIN | {"reset": "subtract"}, "lif1"),
    "synaptic current, `tau_syn_s`": (PLAIN | {"tau_syn_s": 0.02}, "lif1"),
    "linear layer with `tau_syn_s`": ({"kind": "mlp", "channels": [5], "tau_syn_s": 0.02}, "lif1"),
    "readout `leaky`": (PLAIN, "readout"),
    "readout `linear`": (PLAIN | {"readout": "linear"}, "readout"),
    "readout `count`": (PLAIN | {"readout": "count"}, "readout"),
    "`stdp`, `first_spike`, `module`": ({"kind": "first_spike", "channels": [5], "tau_syn_s": 0.03}, "network"),
}


def describe(width: int = 12, height: int = 7, bins: dict[str, Any] | None = None, **network: Any) -> ClassifierConfig:
    return ClassifierConfig(
        classes=("left", "right", "down"),
        width=width,
        height=height,
        bins=BinConfig(**{"steps": 5, "step_us": 10_000} | (bins or {})),
        network=parse_network(network),
    )


def test_table_of_the_guide_is_what_the_check_says() -> None:
    rows = [f"| layer | {' | '.join(TARGETS)} |", f"|---|{'---|' * len(TARGETS)}"]
    for name, (network, layer) in FEATURES.items():
        fits = [
            next(each.fit for each in check_target(describe(**network), target) if each.layer == layer)
            for target in TARGETS
        ]
        rows.append(f"| {name} | {' | '.join(fits)} |")
    assert "\n".join(rows) in GUIDE.read_text(encoding="utf-8"), "\n".join(rows)


def test_shapes_are_of_the_network() -> None:
    sizes = [
        (each.name, each.inputs, each.neurons, each.pool)
        for each in list_layers(describe(**PLAIN, padded=[True, False]))
    ]
    assert sizes == [
        ("lif1", (2, 7, 12), (3, 7, 12), 1),
        ("lif2", (3, 7, 12), (3, 5, 10), 1),
        ("readout", (3, 5, 10), (3, 1, 1), 1),
    ]
    residual = list_layers(describe(kind="sew", channels=[3, 3], kernel=3, pool=2))
    assert [(each.name, each.pool, each.pools_maximum, each.residual) for each in residual] == [
        ("lif1", 1, False, False),
        ("lif2", 1, False, False),
        ("lif3", 2, True, True),
        ("lif4", 1, False, False),
        ("lif5", 2, True, True),
        ("readout", 1, False, False),
    ]


@pytest.mark.parametrize(
    ("layer", "weights", "neurons"),
    [
        (LayerShape("a", (2, 16, 16), (16, 16, 16), 4), 2 * 16 * 16, 16 * 256),  # powers of two: no padding
        (LayerShape("b", (3, 7, 12), (5, 7, 12), 3, 1), 3 * 16 * 8, 5 * 8 * 16),
        (LayerShape("c", (3, 5, 10), (4, 1, 1)), 3 * 128 * 4, 4),  # the kernel is a square that covers 5 x 10
    ],
)
def test_memory_is_padded_to_powers_of_two(layer: LayerShape, weights: int, neurons: int) -> None:
    assert find_memory(layer) == (weights, neurons)


def test_layers_share_the_cores() -> None:
    large, small = LayerShape("l", (2, 32, 32), (64, 32, 32), 3, 1), LayerShape("s", (2, 8, 8), (4, 8, 8), 3, 1)
    assert find_memory(large)[1] == 64 * KIB
    cores = assign_cores([*[small] * 6, *[large] * 3])  # small layers give way to large ones
    assert None not in cores
    assert len(set(cores)) == len(CORES)
    assert assign_cores([large] * 4).count(None) == 1


def test_speck_says_what_to_change() -> None:
    def fits(**settings: Any) -> dict[str, tuple[str, str]]:
        return {each.layer: (each.fit, each.change) for each in check_target(describe(**settings), "speck")}

    found = fits(width=34, height=34, channels=[24, 600], kernel=3, readout="count")
    assert found["lif1"] == ("unsupported", "at most 16 channels")  # 64 x 64 neurons per channel
    assert found["lif2"] == ("unsupported", "at most 32 channels")  # 17 x 17 pixels take 32 x 32
    assert fits(width=34, height=34, channels=[16, 128], kernel=3)["readout"] == (
        "unsupported",
        "network.readout=count",
    )
    assert {fit for fit, _ in fits(width=34, height=34, channels=[16, 32], kernel=3, readout="count").values()} == {
        "approximate"
    }
    assert fits(width=240, height=180, **PLAIN)["input"] == ("unsupported", "bins.downsample=2")
    assert fits(width=128, height=128, **PLAIN)["lif1"] == ("unsupported", "bins.downsample=2")
    assert "bins.downsample=2" not in fits(width=128, height=128, bins={"downsample": 2}, **PLAIN)["lif1"]


def test_code_needs_counts_of_fixed_time() -> None:
    for bins, change in (({"form": "voxel"}, "bins.form=count"), ({"by": "events", "step_events": 9}, "bins.by=time")):
        rows = check_target(describe(bins=bins, **PLAIN), "c")
        assert (rows[0].layer, rows[0].fit, rows[0].change) == ("input", "unsupported", change)


def test_command_checks_checkpoints_and_configurations(tmp_path: Path) -> None:
    done = dvspipe("export", "gesture-synthetic", "--check", "speck", cwd=tmp_path)
    assert mentions(done.stdout, "lif3", "at most 64 channels", "sinabs")
    done = dvspipe("export", "--check", "c", "nmnist", "network.tau_syn_s=0.03", cwd=tmp_path)
    assert mentions(done.stdout, "lif1", "unsupported", "network.tau_syn_s=null")
    done = dvspipe("export", "nmnist-synthetic", cwd=tmp_path, code=2)
    assert mentions(done.stderr, "--to", "--check")
