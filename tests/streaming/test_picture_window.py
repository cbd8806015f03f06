"""Windows of OpenCV, with a stand-in for its functions."""

from __future__ import annotations

import numpy as np
import pytest
from facts import raises

from dvspipe.base.errors import VideoError
from dvspipe.streaming import picture_window
from dvspipe.streaming.picture_window import PictureWindow, has_display

NO_KEY = -1


class Screen:
    """Functions of cv2 for windows; `key` is pressed, and `visible` is whether the window is shown."""

    WINDOW_NORMAL = WINDOW_KEEPRATIO = WINDOW_GUI_NORMAL = 0
    WND_PROP_VISIBLE = 4

    def __init__(self, framework: str = "QT") -> None:
        self.framework, self.key, self.visible = framework, NO_KEY, 1.0
        self.pictures = list[np.ndarray]()
        self.calls = list[str]()

    def currentUIFramework(self) -> str:  # noqa: N802  name of OpenCV
        return self.framework

    def namedWindow(self, title: str, flags: int) -> None:  # noqa: N802
        self.calls.append(f"open {title} {flags}")

    def resizeWindow(self, _: str, width: int, height: int) -> None:  # noqa: N802
        self.calls.append(f"size {width}x{height}")

    def imshow(self, _: str, picture: np.ndarray) -> None:
        self.pictures.append(picture)

    def waitKey(self, _: int) -> int:  # noqa: N802
        return self.key

    def getWindowProperty(self, _: str, name: int) -> float:  # noqa: N802
        assert name == self.WND_PROP_VISIBLE
        return self.visible

    def destroyAllWindows(self) -> None:  # noqa: N802
        self.calls.append("close")


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    screen = Screen()
    monkeypatch.setattr(picture_window, "cv2", screen)
    monkeypatch.setattr(picture_window, "PROBE", "")
    monkeypatch.setenv("DISPLAY", ":0")
    return screen


def test_pictures_are_shown_in_the_order_of_opencv(screen: Screen) -> None:
    shown = PictureWindow("camera 0")
    shown.show(np.full((7, 12, 3), (1, 2, 3), np.uint8))
    assert screen.pictures[0][0, 0].tolist() == [3, 2, 1]
    assert screen.calls == ["open camera 0 0", "size 12x7"]


@pytest.mark.parametrize(("key", "visible"), [(27, 1.0), (ord("q"), 1.0), (NO_KEY, 0.0)])
def test_keys_and_the_mouse_close_the_window(screen: Screen, key: int, visible: float) -> None:
    shown = PictureWindow("camera 0")
    assert shown.is_open()
    screen.key, screen.visible = key, visible
    assert not shown.is_open()
    assert not shown.is_open()
    assert screen.calls.count("close") == 1


def test_machines_without_a_display_are_recognized(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    assert has_display()
    screen.framework = ""
    assert not has_display()
    screen.framework = "QT"
    for probe in ("import os; os.abort()", "raise RuntimeError"):
        monkeypatch.setattr(picture_window, "PROBE", probe)
        with raises(VideoError, "display"):
            PictureWindow("camera 0")
