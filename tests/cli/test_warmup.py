"""Warm-up compiles the kernels of later commands."""

import sys
from pathlib import Path

import pytest
from commands import dvspipe
from numba.core.dispatcher import Dispatcher

from dvspipe.cli.compilation import STAGES, warm_up
from dvspipe.inference import Classifier
from dvspipe.recordings.config import ConvertConfig
from dvspipe.recordings.conversion import convert_video
from dvspipe.synthesis import GestureClip, gesture_frames
from dvspipe.video.writing import write_video


def compiled() -> dict[str, int]:
    """Return the number of compiled or loaded variants of each dvspipe kernel."""
    return {
        f"{name}.{kernel}": len(value.signatures)
        for name, module in list(sys.modules.items())
        if name.startswith("dvspipe.")
        for kernel, value in vars(module).items()
        if isinstance(value, Dispatcher)
    }


@pytest.mark.slow
def test_warmup_compiles_all_kernels_of_conversion_and_classification(tmp_path: Path) -> None:
    shown: list[tuple[float, float]] = []
    assert list(warm_up(lambda done, total: shown.append((done, total)))) == list(STAGES)
    assert shown[0] == (0, len(STAGES))
    assert shown[-1] == (len(STAGES), len(STAGES))
    before = compiled()
    assert sum(map(bool, before.values())) > 20
    write_video(
        tmp_path / "a.webm", gesture_frames(GestureClip(1, person=3, clip=0, seed=0, duration_us=800_000), fps=20)
    )
    for upsample in ("off", "auto"):
        convert_video(
            tmp_path / "a.webm",
            tmp_path / "a.h5",
            ConvertConfig(simulator={"cutoff_hz": 80.0, "shot_noise_rate_hz": 1.0}, upsample=upsample),  # type: ignore[arg-type]
            overwrite=True,
        )
    Classifier.load("gesture-films").classify(tmp_path / "a.h5")
    assert compiled() == before


def test_stages_with_missing_libraries_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def needs_torch(_: Path) -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr("dvspipe.cli.compilation.STAGES", {"event files": lambda _: None, "training": needs_torch})
    assert list(warm_up()) == ["event files"]
    done = dvspipe("warmup", cwd=tmp_path)
    assert ("ready: event files" in done.stdout, "training" in done.stdout) == (True, False)
