"""Every lesson has all parts of a lesson, its code and the code of its answer run, and its numbers are right."""

from __future__ import annotations

import doctest
import re
import runpy
from collections.abc import Mapping
from math import e, exp, log
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

LESSONS = sorted((Path(__file__).parents[2] / "docs" / "lessons").glob("plot_*.py"))
PARTS = ("Derivation", "By hand", "With dvspipe", "Exercise")
LINES_OF_ANSWER = re.compile(r"^#    (.*)", re.MULTILINE)
EQUATIONS: Mapping[str, Mapping[str, str]] = {
    "plot_1_pixel": {r"|L - R| \geq \theta": "Lichtsteiner, Posch and Delbruck 2008"},
    "plot_2_neuron": {
        r"I = C \, dU/dt + U / R": "Lapicque 1907",
        r"\tau \frac{du}{dt} = -u + i": "leaky integrate-and-fire",
        r"u(t) = w \frac{\tau_s}{\tau - \tau_s} (e^{-t / \tau} - e^{-t / \tau_s})": "Gerstner and Kistler 2002",
    },
    "plot_3_codes": {
        r"t = \mathrm{round}((1 - x) (T - 1))": "Thorpe 1990",
        r"\sigma^2 \frac{\ln(r_a / r_b)}{c_a - c_b}": "Bohte, La Poutré and Kok 2002",
    },
    "plot_4_first_network": {
        r"\psi[t] = 1 / (1 + \beta |v[t] - 1|)^2": "Neftci, Mostafa and Zenke 2019",
        r"\delta[t] = (z[t] - y[t]) \, \psi[t] + (1 - a) \, \delta[t+1]": "Werbos 1990",
        r"[\alpha * (y_i - z_i)](t) \;\; [\alpha * (\psi_i \, \varepsilon_j)](t)": "Zenke and Ganguli 2018",
    },
    "plot_5_online_rules": {
        r"\frac{dE}{dW_{ji}} = \sum_t L_j[t] \, e_{ji}[t]": "Bellec et al. 2020",
        r"E_l = \frac{1}{2} \sum_t |G z[t] - y^*[t]|^2": "Kaiser, Mostafa and Neftci 2020",
    },
    "plot_6_spike_times": {
        r"E = \tfrac{1}{2} (T - T_d)^2": "Bohte, Kok and La Poutré 2002",
        r"\frac{dE}{dw_i} = - \tau_s \sum_{t_i} y(t_i)": "Wunderlich and Pehle 2021",
    },
    "plot_7_stdp": {r"W(d) = A_+ e^{-d / \tau_+}": "Song, Miller and Abbott 2000"},
    "plot_8_synthetic_and_real": {r"\sqrt{m \, k (n - k) / n + m^2 / 4}": "Wilson (1927)"},
    "plot_10_four_libraries": {
        r"u[t] = (1 - a) \, u[t-1] + a \, x[t]": "Gerstner and Kistler 2002",
        r"u[t] = \beta \, u[t-1] + x[t] - z[t-1]": "snnTorch",
    },
    "plot_9_own_rule": {r"e_1' = s_1 \, B^T e_2": "Lillicrap, Cownden, Tweed and Akerman 2016"},
}
"""Equations of each lesson, and their sources."""
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
        "response[2]": [exp(-81 / 32), exp(-9 / 32), exp(-9 / 32), exp(-81 / 32)],
        "response_step": [[5, 5, -1, -1], [12, 0, 15, -1], [-1, 5, 5, -1], [-1, -1, 5, 5]],
        "[read_population(steps) for steps in response_step]": [0, log(2.5) * 2 / 9, 1 / 2, 1],
    },
    "plot_4_first_network": {
        "forward(w)[0]": [1 / 2, 3 / 4, 3 / 8],
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
        "slope": 1 / 10,
        "by_weight": -5 * e**0.5,
        "current": 3,
        "x_at_spike": 1 / 2,
        "y_at_input": 3 / 16,
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
def test_lesson_has_question_parts_and_folded_answer(lesson: Path) -> None:
    text = lesson.read_text(encoding="utf-8")
    assert "\n**Question.** " in text
    assert tuple(re.findall(r"^# (.+)\n# -+$", text, re.MULTILINE)) == PARTS
    assert "# .. admonition:: Answer\n#    :collapsible: closed\n" in text.split("# Exercise\n")[1]


@pytest.mark.parametrize("lesson", LESSONS, ids=by_name)
def test_lesson_has_equations_and_their_sources(lesson: Path) -> None:
    text = " ".join(re.sub(r"^# ?", "", lesson.read_text(encoding="utf-8"), flags=re.MULTILINE).split())
    for equation, source in EQUATIONS[lesson.stem].items():
        assert equation in text
        assert source in text, equation


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
