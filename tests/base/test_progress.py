"""Progress callbacks, and the estimate of the remaining time."""

from __future__ import annotations

import pytest

from dvspipe.base.progress import CurrentStep, NamedStep, estimate_left_s


class Steps:
    """Progress callback that keeps the amounts and the names of steps."""

    def __init__(self) -> None:
        self.told: list[tuple[float, float, tuple[str, ...]]] = []

    def __call__(self, done: float, total: float) -> None:
        self.told.append((done, total, ()))

    def show_step(self, done: float, total: float, step: CurrentStep) -> None:
        self.told.append((done, total, step.names))


def test_step_is_a_share_of_the_complete_work_or_keeps_its_amounts() -> None:
    steps = Steps()
    NamedStep(NamedStep(steps, "wave.mp4"), "events")(30, 120)
    NamedStep(NamedStep(steps, "wave.mp4", 1, 3), "events", 1, 2)(30, 120)
    NamedStep(steps, "person", 1, 2)(7, 0)
    assert steps.told == [
        (30, 120, ("wave.mp4", "events")),
        (1.625, 3, ("wave.mp4", "events")),
        (1.0, 2, ("person",)),
    ]


def test_callback_without_steps_gets_amounts() -> None:
    told: list[tuple[float, float]] = []
    NamedStep(lambda done, total: told.append((done, total)), "person", 1, 2)(30, 120)
    assert told == [(1.25, 2)]


def test_time_left_assumes_average_speed() -> None:
    assert estimate_left_s(30, 100, 6.0) == pytest.approx(14.0)
    assert estimate_left_s(80, 100, 6.0, begin=70) == pytest.approx(12.0)
    assert estimate_left_s(100, 100, 6.0) == 0.0


@pytest.mark.parametrize(("done", "total", "begin"), [(4, 100, 0), (5, 0, 0), (52, 100, 50), (0, 100, 0)])
def test_time_left_is_none_below_5_percent_or_for_unknown_total(done: float, total: float, begin: float) -> None:
    assert estimate_left_s(done, total, 6.0, begin=begin) is None
