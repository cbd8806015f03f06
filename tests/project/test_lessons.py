"""Every lesson has all parts of a lesson, and its code and the code of its answer run."""

from __future__ import annotations

import doctest
import re
import runpy
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
import torch

LESSONS = sorted((Path(__file__).parents[2] / "docs" / "lessons").glob("plot_*.py"))
PARTS = ("Derivation", "By hand", "With dvspipe", "Exercise")
LINES_OF_ANSWER = re.compile(r"^#    (.*)", re.MULTILINE)


def by_name(lesson: Path) -> str:
    return lesson.stem


@pytest.mark.parametrize("lesson", LESSONS, ids=by_name)
def test_lesson_has_question_parts_and_folded_answer(lesson: Path) -> None:
    text = lesson.read_text(encoding="utf-8")
    assert "\n**Question.** " in text
    assert tuple(re.findall(r"^# (.+)\n# -+$", text, re.MULTILINE)) == PARTS
    assert "# .. admonition:: Answer\n#    :collapsible: closed\n" in text.split("# Exercise\n")[1]


@pytest.mark.parametrize("lesson", LESSONS, ids=by_name)
def test_lesson_runs_with_pictures_and_its_answer_is_right(lesson: Path, capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    with mpl.rc_context({"backend": "agg"}):
        names = runpy.run_path(str(lesson))
    torch.set_num_threads(threads)
    pictures = len(plt.get_fignums())
    plt.close("all")
    assert pictures
    assert capsys.readouterr().out
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
