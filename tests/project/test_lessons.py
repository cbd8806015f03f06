"""The code of every lesson and the code of its answer run, and its numbers are right."""

from __future__ import annotations

import doctest
import re
import runpy
from collections.abc import Mapping
from math import e, log
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

LESSONS = sorted((Path(__file__).parents[2] / "docs" / "lessons").glob("plot_*.py"))
LINES_OF_ANSWER = re.compile(r"^#    (.*)", re.MULTILINE)
BY_HAND: Mapping[str, Mapping[str, object]] = {
    "plot_1_pixel": {
        "[time for time, _ in by_hand[:3]]": [100 * n * 0.2 / log(2) for n in (1, 2, 3)],
        "by_hand[3][0]": 200 + 100 * (log(2) - 0.4) / log(4),
        "[sign for _, sign in by_hand]": [1] * 3 + [-1] * 6,
    },
    "plot_2_neuron": {"by_hand[:3]": [1 / 2, 7 / 8, 37 / 32], "peak_ms": 20 * log(2), "psp(peak_ms, 3)": 3 / 4},
    "plot_3_codes": {
        "first_step": [-1, 16, 10, 0],
        "rank": [-1, 2, 1, 0],
        "response_step": [[5, 5, -1, -1], [12, 0, 15, -1], [-1, 5, 5, -1], [-1, -1, 5, 5]],
        "[read_population(steps) for steps in response_step]": [0, log(2.5) * 2 / 9, 1 / 2, 1],
    },
    "plot_4_first_network": {
        "forward(w)[2]": [1 / 4, 4 / 9, 16 / 81],
        "bptt(w)": [-1 / 3, 0],
        "three_factors(w)": [-1 / 3, 0],
        "forward(better)[0]": [3 / 4, 9 / 8, 1 / 16],
    },
    "plot_5_online_rules": {
        "[values[:2] for values in by_hand['e-prop']]": [[-1 / 4, -3 / 8], [2 / 9, 1 / 9 + 4 / 121]],
        "by_hand['OTTT'][1][:2]": [2 / 9, 4 / 121],
        "by_hand['DECOLLE'][0][:2]": [-1 / 4, -1 / 2],
    },
    "plot_6_spike_times": {
        "by_weight": -5 * e**0.5,
        "probabilities": [1 / 3, 2 / 3],
        "by_weights": [-2 * log(2) / e**0.5, 2 / 3 * log(2) / e ** (1 / 3)],
    },
    "plot_7_stdp": {"w": 0.56, "x": 21 / 16, "y": 1 / 2},
    "plot_8_synthetic_and_real": {
        "distances": [5, 10, 10, 5, 0],
        "bounds(3, 3)": [3 / (3 + 1.96**2), 1],
    },
    "plot_10_four_libraries": {
        "by_hand['at once']": [3 / 4, 9 / 8, 3 / 4, 9 / 8],
        "by_hand['snnTorch']": [3 / 2, 5 / 4, 9 / 8, 17 / 16],
        "by_hand['snnTorch, a x']": [3 / 4, 9 / 8, 5 / 16, 29 / 32],
    },
    "plot_9_own_rule": {"exact": [1 / 4, 3 / 4], "aligned": [1 / 4, 1 / 2], "cosine": 7 / 50**0.5},
}
"""Expressions in the names of each lesson, and their values, computed from the fractions of the text."""


def by_name(lesson: Path) -> str:
    return lesson.stem


@pytest.mark.parametrize("lesson", LESSONS, ids=by_name)
def test_lesson_runs_with_pictures_and_numbers_and_answer_are_right(
    lesson: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    threads = torch.get_num_threads()
    with mpl.rc_context({"backend": "agg"}):
        names = runpy.run_path(str(lesson))
    torch.set_num_threads(threads)
    pictures = len(plt.get_fignums())
    plt.close("all")
    assert pictures
    assert capsys.readouterr().out
    for expression, value in BY_HAND[lesson.stem].items():
        np.testing.assert_allclose(eval(expression, names), np.asarray(value), atol=1e-12, err_msg=expression)
    exercise = lesson.read_text(encoding="utf-8").split("# Exercise\n")[1]
    answer = doctest.DocTestParser().get_doctest(
        "\n".join(LINES_OF_ANSWER.findall(exercise)), names, lesson.stem, str(lesson), 0
    )
    assert answer.examples
    assert doctest.DocTestRunner().run(answer).failed == 0


def test_index_names_every_lesson() -> None:
    index = (Path(__file__).parents[2] / "docs" / "lessons" / "GALLERY_HEADER.rst").read_text(encoding="utf-8")
    assert LESSONS
    assert {lesson.stem for lesson in LESSONS} == set(re.findall(r"<(plot_\w+)>", index))
