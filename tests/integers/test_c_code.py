"""Classifiers of integers on disk, and as C code compiled with the C compiler of this machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from c_targets import C_COMPILER, NETWORKS, TARGETS, Target, export_classifier, make_classifier
from conftest import limit_files
from facts import mentions, raises

from dvspipe.base.errors import CheckpointError, ConfigError, FileError
from dvspipe.checkpoints.checkpoint import save_checkpoint
from dvspipe.encoding import BinConfig
from dvspipe.events import Events, SensorSize, concatenate
from dvspipe.formats import write
from dvspipe.inference.windows import slide
from dvspipe.integers.c_code import C_FILES, export_c
from dvspipe.integers.classifier import IntegerClassifier
from dvspipe.integers.network import run


def draw_events(seed: int) -> Events:
    """Draw a recording that ends after one window or more, with times beyond the camera's 13-bit clock."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(8_380_000, 8_380_000 + 7000 + 3000 * seed, 400))
    x, y = rng.integers(0, 24, 400), rng.integers(0, 14, 400)
    return Events(t=t, x=x, y=y, p=rng.random(400) < 0.5, sensor=SensorSize(width=24, height=14))


def test_classifier_is_read_as_it_was_written(tmp_path: Path) -> None:
    classifier = make_classifier(**NETWORKS["subtract"])
    classifier.save(tmp_path / "a8.safetensors")
    found = IntegerClassifier.load(tmp_path / "a8.safetensors")
    counts = np.random.default_rng(0).integers(0, 4, (6, *classifier.network.shape)).astype(np.uint8)
    assert found.config == classifier.config
    assert (run(found.network, counts) == run(classifier.network, counts)).all()
    with raises(FileError, "a8.safetensors"):
        classifier.save(tmp_path / "a8.safetensors")
    with raises(FileError, ".bin"):
        classifier.save(tmp_path / "a8.bin")


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    with raises(CheckpointError, "net.safetensors"):
        IntegerClassifier.load(path)
    classifier = make_classifier(**NETWORKS["zero"])
    save_checkpoint(path, classifier.config, classifier.config.build_network())
    with raises(CheckpointError, "net.safetensors", "dvspipe-classifier-2"):
        IntegerClassifier.load(path)
    classifier.save(path, overwrite=True)
    path.write_bytes(path.read_bytes().replace(b'\\"pool\\":2', b'\\"pool\\":1'))
    with raises(CheckpointError, "net.safetensors"):
        IntegerClassifier.load(path)


def test_bins_of_complete_recordings_are_refused(tmp_path: Path) -> None:
    classifier = make_classifier(
        bins=BinConfig(steps=6, step_us=1000, by="recording", downsample=2), **NETWORKS["zero"]
    )
    classifier.save(tmp_path / "a8.safetensors")
    with raises(ConfigError, "a8.safetensors", "by", "recording"):
        export_c(tmp_path / "a8.safetensors", tmp_path / "code")


def test_network_uses_only_stdint_and_string_and_is_kept(tmp_path: Path) -> None:
    folder = export_classifier(make_classifier(**NETWORKS["zero"]), tmp_path)
    header, code = ((folder / f"dvspipe_network{suffix}").read_text() for suffix in (".h", ".c"))
    included = {line.split()[1] for line in (header + code).splitlines() if line.startswith("#include")}
    assert included == {"<stdint.h>", "<string.h>", '"dvspipe_network.h"'}
    assert not any(word in code for word in ("malloc", "float ", "double "))
    with raises(FileError, C_FILES[0]):
        export_c(folder / "a8.safetensors", folder)
    assert export_c(folder / "a8.safetensors", folder, overwrite=True)


def test_full_disk_leaves_no_code(tmp_path: Path) -> None:
    make_classifier(**NETWORKS["zero"]).save(tmp_path / "a8.safetensors")
    with raises(FileError, "code"), limit_files(5000):
        export_c(tmp_path / "a8.safetensors", tmp_path / "code")
    assert not (tmp_path / "code").exists()


def check_program(target: Target, classifier: IntegerClassifier, folder: Path) -> None:
    """Check that all golden scores are equal, and that each window of recordings has the label of the reference."""
    export_classifier(classifier, folder)
    checked = subprocess.run(target.build(folder, "check"), capture_output=True, text=True, check=True)
    assert mentions(checked.stdout, 6)
    main = target.build(folder, "main")
    for seed, suffix, gap_us in ((0, ".bin", 0), (1, ".bin", 0), (2, ".raw", 20_000), (3, ".raw", 320_000_000)):
        path, events = folder / f"{seed}{suffix}", draw_events(seed)
        if gap_us:
            events = concatenate([events, events.shift_time(gap_us)])
        write(path, events)
        *windows, _ = slide([events], classifier.bins, classifier.bins.tensor_us)  # the last one is incomplete
        labels = [run(classifier.network, window.spikes.astype(np.uint8))[-1].argmax() for window in windows]
        with path.open("rb") as file:
            found = subprocess.run(main, stdin=file, capture_output=True, check=True)
        assert found.stdout.decode().splitlines() == [classifier.config.classes[label] for label in labels]


@pytest.mark.skipif(C_COMPILER is None, reason="no C compiler is installed")
@pytest.mark.parametrize("name", NETWORKS)
def test_compiled_code_equals_the_reference(name: str, tmp_path: Path) -> None:
    assert C_COMPILER is not None
    check_program(C_COMPILER, make_classifier(**NETWORKS[name]), tmp_path)


@pytest.mark.parametrize("name", TARGETS)
def test_all_machines_compute_the_same(name: str, tmp_path: Path) -> None:
    """Compiled without warnings, with reset by subtraction, a layer without padding, and inputs up to 255."""
    target = TARGETS[name]
    if target.problem:
        pytest.skip(target.problem)
    check_program(target, make_classifier(bins=BinConfig(steps=6, step_us=1000), **NETWORKS["subtract"]), tmp_path)


@pytest.mark.skipif(C_COMPILER is None, reason="no C compiler is installed")
def test_program_names_what_is_wrong_with_its_input(tmp_path: Path) -> None:
    assert C_COMPILER is not None
    main = C_COMPILER.build(export_classifier(make_classifier(**NETWORKS["zero"]), tmp_path), "main")
    for content, facts in (
        (b"", ("events",)),
        (b"% evt 2.0\n% end\n", ("events",)),
        (bytes([30, 1, 0, 0, 0]), (30, "24x14")),
        (bytes([3, 1, 0, 0, 9, 3, 1, 0, 0, 4]), ("5 us",)),
    ):
        found = subprocess.run(main, input=content, capture_output=True, check=False)
        assert found.returncode == 2
        assert mentions(found.stderr.decode(), *facts)
