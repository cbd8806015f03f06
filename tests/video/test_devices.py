"""Webcams found in the description of the devices of a machine."""

from __future__ import annotations

from pathlib import Path

from dvspipe.video.devices import find_webcams


def add_webcam(root: Path, number: int, name: str, index: str = "0") -> None:
    folder = root / f"sys/class/video4linux/video{number}"
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "index").write_text(f"{index}\n")
    (root / "dev").mkdir(exist_ok=True)
    (root / f"dev/video{number}").touch()


def test_webcams_are_in_order_of_numbers_without_their_metadata(tmp_path: Path) -> None:
    add_webcam(tmp_path, 10, "Second")
    add_webcam(tmp_path, 2, "First  camera")
    add_webcam(tmp_path, 3, "First  camera", index="1")

    first, second = find_webcams(tmp_path)
    assert (first.source, first.name, first.is_open) == ("2", "First camera", True)
    assert second.source == "10"


def test_webcam_without_its_file_may_not_be_opened(tmp_path: Path) -> None:
    add_webcam(tmp_path, 0, "Camera")
    (tmp_path / "dev/video0").unlink()
    (camera,) = find_webcams(tmp_path)
    assert not camera.is_open


def test_machine_without_video_has_no_webcams(tmp_path: Path) -> None:
    assert find_webcams(tmp_path) == []
