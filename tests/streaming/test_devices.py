"""Cameras found in the description of the devices of a machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from dvspipe.streaming.devices import VENDORS, find_event_cameras, find_webcams


def write_files(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(f"{text}\n")


def add_webcam(root: Path, number: int, name: str, index: str = "0") -> None:
    write_files(root / f"sys/class/video4linux/video{number}", name=name, index=index)
    (root / "dev").mkdir(exist_ok=True)
    (root / f"dev/video{number}").touch()


def add_usb(root: Path, folder: str, vendor: str, product: str, device: str = "7") -> None:
    numbers = {"idVendor": vendor, "idProduct": product, "busnum": "2", "devnum": device, "serial": "00050423"}
    write_files(root / "sys/bus/usb/devices" / folder, **numbers)


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


@pytest.mark.parametrize(
    ("vendor", "product", "name", "is_read"),
    [
        ("152a", "841a", "iniVation", True),
        ("152a", "8419", "iniVation", True),
        ("04b4", "00f5", "EVK4", True),
        ("31f7", "0003", "CenturyArks", True),
        ("1409", "8e00", "IDS", True),
        ("03fd", "5832", "EVK2", False),
    ],
)
def test_event_camera_has_the_name_of_its_vendor(
    vendor: str, product: str, name: str, is_read: bool, tmp_path: Path
) -> None:
    add_usb(tmp_path, "2-1", vendor, product)
    (camera,) = find_event_cameras(tmp_path)
    assert name in camera.name
    assert camera.node == tmp_path / "dev/bus/usb/002/007"
    assert camera.source == "event-camera:00050423"
    assert not camera.is_open
    assert camera.vendor is not None
    assert camera.vendor.is_read == is_read


def test_other_devices_of_a_vendor_are_no_event_cameras(tmp_path: Path) -> None:
    add_usb(tmp_path, "2-1", "152a", "880a")  # audio
    add_usb(tmp_path, "2-2", "04b4", "0053")
    write_files(tmp_path / "sys/bus/usb/devices/2-2:1.0", bInterfaceClass="ff")
    assert find_event_cameras(tmp_path) == []


def test_machine_without_usb_and_video_has_no_cameras(tmp_path: Path) -> None:
    assert find_webcams(tmp_path) == find_event_cameras(tmp_path) == []


def test_udev_rule_fits_a_terminal_and_names_its_vendor() -> None:
    for vendor in VENDORS:
        assert f'"{vendor.vendor}"' in vendor.udev_rule
        assert len(vendor.udev_rule) <= 80
