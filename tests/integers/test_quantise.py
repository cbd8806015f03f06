"""Commands `quantise` and `export` to C code."""

from __future__ import annotations

from pathlib import Path

from commands import dvspipe
from conftest import write_bars
from facts import mentions
from untrained import untrained_config, untrained_network

from dvspipe.checkpoints.checkpoint import save_checkpoint
from dvspipe.integers.c_code import C_FILES
from dvspipe.integers.command import _read_data
from dvspipe.networks import NetworkConfig
from dvspipe.results import RunFolder
from dvspipe.training import TrainConfig


def make_checkpoint(path: Path, network: NetworkConfig) -> None:
    config = untrained_config({"steps": 5, "step_us": 20_000}).model_copy(update={"network": network})
    save_checkpoint(path, config, untrained_network(config, gain=1.0))


def test_checkpoint_is_compiled_compared_and_written_as_c(tmp_path: Path) -> None:
    network = NetworkConfig(channels=(3,), kernel=3, threshold=0.25, tau_mem_s=0.04, tau_readout_s=0.1)
    make_checkpoint(tmp_path / "net.safetensors", network)
    write_bars(tmp_path / "data", 3)
    done = dvspipe("quantise", "net.safetensors", "data", "--part", "all", "-o", "net8.safetensors", cwd=tmp_path)
    weights = 3 * 2 * 9 + 3 * 3 * 6 * 8 + 4 * (3 + 3 + 3)
    assert mentions(done.stdout, "lif1", "readout", weights, f"{2 * 3 * 12 * 16 + 3 * 12:,}")
    again = dvspipe("quantise", "net.safetensors", "data", "-o", "net8.safetensors", cwd=tmp_path, code=2)
    assert mentions(again.stderr, "net8.safetensors", "overwrite")
    dvspipe("export", "net8.safetensors", "-o", "code", cwd=tmp_path)
    assert {path.name for path in (tmp_path / "code").iterdir()} == {*C_FILES}


def test_network_that_cannot_be_compiled_is_one_line_with_its_layer(tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "net.safetensors", NetworkConfig(network="stdp", channels=(3,), thresholds=(2,)))
    write_bars(tmp_path / "data", 1)
    command = ("quantise", "net.safetensors", "data", "--part", "all", "-o", "net8.safetensors")
    done = dvspipe(*command, cwd=tmp_path, code=2)
    assert mentions(done.stderr, "net.safetensors", "layer 0", "IntegrateAndFire")
    assert not (tmp_path / "net8.safetensors").exists()


def test_checkpoint_without_a_data_set_needs_one(tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "net.safetensors", NetworkConfig(channels=(3,), kernel=3))
    done = dvspipe("quantise", "net.safetensors", "-o", "net8.safetensors", cwd=tmp_path, code=2)
    assert mentions(done.stderr, "net.safetensors", "DATA")
    done = dvspipe("quantise", "nmnist-synthetic", "-o", "net8.safetensors", cwd=tmp_path, code=2)
    assert mentions(done.stderr, "nmnist", "root=DIR")


def test_data_set_of_an_included_classifier_is_rendered_people_that_it_was_not_trained_on() -> None:
    included = TrainConfig.read("gesture-synthetic")
    for given, people in ((TrainConfig(), included.test_people), (TrainConfig(data="gestures", test_people=3), 3)):
        experiment = _read_data("gesture", None, given)
        assert (experiment.data, experiment.root, experiment.test_people) == ("gestures", None, people)
        assert experiment.seed != included.seed


def test_missing_folder_of_the_run_is_named_with_its_settings_file(tmp_path: Path) -> None:
    RunFolder(tmp_path).config.write_text("data: folder\nroot: nowhere\n")
    command = ("quantise", tmp_path, "-o", "net8.safetensors")
    assert mentions(
        dvspipe(*command, cwd=tmp_path, code=2).stderr, RunFolder(tmp_path).config, "root = nowhere", "root=DIR"
    )
    assert mentions(dvspipe(*command, "root=elsewhere", cwd=tmp_path, code=2).stderr, "elsewhere")
