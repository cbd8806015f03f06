"""Cameras connected to this machine, found in Linux's description of its devices, without opening them.

Sources of the USB numbers: github.com/neuromorphicsystems/neuromorphic-drivers at 6c2018e (README.md and
drivers/src/devices), and github.com/prophesee-ai/openeb, hal_psee_plugins/resources/rules/99-evkv2.rules. Linux writes
them in lower case.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

SYSTEM_ROOT = Path("/")
RULES_FILE = "/etc/udev/rules.d/65-event-cameras.rules"


@dataclass(frozen=True)
class UsbVendor:
    """Event cameras with one USB vendor number.

    Args:
        name: Name in messages.
        vendor: Vendor number, four hexadecimal digits.
        products: Pattern of the product numbers, for udev and `fnmatch`.
        is_read: Whether neuromorphic-drivers reads them.
    """

    name: str
    vendor: str
    products: str
    is_read: bool = True

    @property
    def udev_rule(self) -> str:
        """Line for udev that lets every user open these cameras."""
        return f'SUBSYSTEM=="usb",ATTR{{idVendor}}=="{self.vendor}",ATTR{{idProduct}}=="{self.products}",MODE="0666"'


VENDORS = (
    UsbVendor("iniVation DAVIS or DVXplorer", "152a", "84[01]?"),
    UsbVendor("Prophesee EVK3 or EVK4", "04b4", "00f[45]"),
    UsbVendor("CenturyArks SilkyEvCam", "31f7", "0003"),
    UsbVendor("IDS uEye XCP-E", "1409", "8e00"),
    UsbVendor("Prophesee EVK2", "03fd", "5832", is_read=False),
    UsbVendor("Prophesee kit (1fc9:5838)", "1fc9", "5838", is_read=False),
)
"""Event cameras that can be recognised."""


@dataclass(frozen=True)
class ConnectedCamera:
    """Camera connected to this machine.

    Args:
        source: Source for `live`, such as 0.
        name: Name that the device or `VENDORS` gives.
        node: File of the device.
        is_open: Whether this user may read and write the file.
        vendor: Vendor of an event camera; None: webcam.
    """

    source: str
    name: str
    node: Path
    is_open: bool
    vendor: UsbVendor | None = None


def find_webcams(root: Path = SYSTEM_ROOT) -> list[ConnectedCamera]:
    """Return the webcams, in order of their numbers.

    Args:
        root: Root of the file system.
    """
    webcams = []
    for folder in (root / "sys/class/video4linux").glob("video*"):
        number = folder.name.removeprefix("video")
        # A webcam has a second node for its metadata, with an index above 0.
        if not number.isdecimal() or _read(folder / "index") not in ("", "0"):
            continue

        node = root / "dev" / folder.name
        webcams.append(ConnectedCamera(number, _read(folder / "name") or folder.name, node, _may_open(node)))

    return sorted(webcams, key=lambda camera: int(camera.source))


def find_event_cameras(root: Path = SYSTEM_ROOT) -> list[ConnectedCamera]:
    """Return the event cameras on USB that `VENDORS` lists.

    Args:
        root: Root of the file system.
    """
    return sorted(_match_usb(root), key=lambda camera: str(camera.node))


def _match_usb(root: Path) -> Iterator[ConnectedCamera]:
    for folder in (root / "sys/bus/usb/devices").glob("*"):
        number = _read(folder / "idVendor")
        product = _read(folder / "idProduct")
        for vendor in VENDORS:
            if vendor.vendor != number or not fnmatchcase(product, vendor.products):
                continue

            serial = _read(folder / "serial")
            source = f"event-camera:{serial}" if serial else "event-camera"
            bus = int(_read(folder / "busnum") or 0)
            device = int(_read(folder / "devnum") or 0)
            node = root / f"dev/bus/usb/{bus:03}/{device:03}"
            yield ConnectedCamera(source, vendor.name, node, _may_open(node), vendor)


def _may_open(node: Path) -> bool:
    return os.access(node, os.R_OK | os.W_OK)


def _read(path: Path) -> str:
    """Return the text of a file of the kernel; empty without it. A device may be unplugged while it is read."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return re.sub(r"\s+", " ", text).strip()
