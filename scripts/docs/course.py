"""Write the notebooks of the course from the lessons: `python scripts/docs/course.py OUT [--install REQUIREMENT]`.

OUT/source has a notebook per lesson with the solution and hidden tests, as nbgrader expects; OUT/release has the same
notebooks for students, without both. REQUIREMENT is what the first cell installs, such as the address of a wheel, for
Colab and other empty environments (default: dvspipe, from PyPI). Needs the extra `docs`.

The answer of a lesson is a doctest. Its last expression is what a student has to assign to `answer`.
"""

from __future__ import annotations

import argparse
import ast
import doctest
import json
import math
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import site_notebooks

LESSONS = Path(__file__).parents[2] / "docs" / "lessons"
ANSWER = re.compile(r"^\.\. admonition:: Answer\n +:collapsible: closed\n((?: .*\n|\n)*)", re.MULTILINE)
HEADINGS = {(None, "="): 1, (None, "-"): 2}  # level of a heading in the lessons by the line below it
POINTS = 1

COLAB = """import sys

if "google.colab" in sys.modules:
    %pip install --quiet {requirement}"""

TASKS: Mapping[str, str] = {
    "plot_1_pixel": "a pair: the number of events without dark current, and with it",
    "plot_2_neuron": "the times of the spikes in ms, as an array, in 100 ms with steps of 0.1 ms",
    "plot_3_codes": "the standard deviation of decoded values of 0.5 with your number of steps",
    "plot_4_first_network": "dE/dw of both inputs",
    "plot_5_online_rules": "three lists with the names of the rules that equal BPTT: for (a, k) = (0.1, 0.25), then "
    "(0.1, 1), then (1, 1)",
    "plot_6_spike_times": "a pair: the weight after the step, and the time of the spike with this weight",
    "plot_7_stdp": "a pair: the weight by the formula, and the mean weight at the end of a simulation",
    "plot_8_synthetic_and_real": "a pair: the number of clips, and both bounds with 90 % of them right, as a list",
    "plot_9_own_rule": "the errors e1 of both neurons, as a list",
    "plot_10_four_libraries": "a pair: the factor, and the numbers of spikes that differ in the two layers, as a list",
}
"""Value that a student assigns to `answer`, by lesson."""

CHECK = '''inf = float("inf")


def is_close(found, expected):
    """Return whether nested values agree: numbers within 1 %."""
    if isinstance(expected, str):
        return found == expected
    if isinstance(expected, list):
        found = list(found)
        return len(found) == len(expected) and all(map(is_close, found, expected))
    return found == expected or abs(found - expected) <= 0.01 * abs(expected) + 1e-3
'''


class Solution(NamedTuple):
    """Answer of a lesson: code that assigns `answer`, and its value as nested lists."""

    code: str
    expected: object


def read_solution(answer: str) -> Solution:
    r"""Return the solution in the text of an answer.

    Example:
        >>> read_solution("Twice.\n\n>>> x = 2\n>>> print(2 * x)\n4\n")
        Solution(code='x = 2\nanswer = 2 * x', expected=4)
    """
    *setup, last = doctest.DocTestParser().get_examples(textwrap.dedent(answer))
    tree = ast.parse(last.source).body[0]
    assert isinstance(tree, ast.Expr)

    # A printed value is the value.
    value = tree.value
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "print":
        value = value.args[0]
    code = "".join(example.source for example in setup) + f"answer = {ast.unparse(value)}"
    return Solution(code, _to_lists(eval(last.want, {"array": np.array, "inf": math.inf})))


def _to_lists(value: object) -> object:
    """Return nested tuples and arrays as lists, which tests compare."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [_to_lists(one) for one in value] if isinstance(value, tuple | list) else value


def make_notebook(lesson: Path, requirement: str, *, is_source: bool) -> dict[str, Any]:
    """Return a notebook of a lesson: with solution and hidden tests for nbgrader, or for students."""
    from sphinx_gallery import notebook
    from sphinx_gallery.py_source_parser import split_code_and_text_blocks

    _, blocks = split_code_and_text_blocks(str(lesson), return_node=False)
    cells = [
        _text_cell(
            "install", f"Run the next cell first. It installs dvspipe on Colab; elsewhere: `pip install {requirement}`."
        ),
        _code_cell("install-code", COLAB.format(requirement=requirement)),
    ]

    solution = None
    for number, block in enumerate(blocks):
        content = block[1]
        if block[0] == "code":
            if content.strip():
                cells.append(_code_cell(f"code-{number}", content.strip("\n")))
            continue
        if found := ANSWER.search(content):
            solution = read_solution(found[1])
            content = content.replace(found[0], f"Assign to ``answer``: {TASKS[lesson.stem]}.\n\n")
        text = notebook.rst2md(site_notebooks.prepare_text(content), {}, "", HEADINGS)
        cells.append(_text_cell(f"text-{number}", text))

    assert solution is not None, f"{lesson}: no answer"
    cells += _graded_cells(solution, is_source=is_source)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def _graded_cells(solution: Solution, *, is_source: bool) -> list[dict[str, Any]]:
    """Return the cell of the answer, and the cell that tests it."""
    shown = "answer = ...  # YOUR CODE HERE"
    hidden = ""
    if is_source:
        shown = f"### BEGIN SOLUTION\n{solution.code}\n### END SOLUTION"
        assertion = f"assert is_close(answer, {solution.expected!r})"
        hidden = f"\n### BEGIN HIDDEN TESTS\n{CHECK}\n\n{assertion}\n### END HIDDEN TESTS"

    test = f'assert answer is not ..., "assign your result to answer"{hidden}'
    return [
        _code_cell("answer", shown, solution=True, locked=False),
        _code_cell("test", test, grade=True, points=POINTS),
    ]


def _text_cell(name: str, text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": name, "metadata": _grading(name), "source": text.strip("\n")}


def _code_cell(name: str, code: str, **grading: Any) -> dict[str, Any]:
    metadata = _grading(name, **grading)
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": name,
        "metadata": metadata,
        "outputs": [],
        "source": code,
    }


def _grading(name: str, **changes: Any) -> dict[str, Any]:
    """Return nbgrader's metadata of a cell; default: students cannot change it, and it has no points."""
    settings = {"grade": False, "grade_id": name, "locked": True, "schema_version": 3, "solution": False, "task": False}
    return {"nbgrader": settings | changes}


def main() -> None:
    """Write both notebooks of every lesson."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path, help="folder of the course")
    parser.add_argument("--install", metavar="REQUIREMENT", default="dvspipe", help="what the first cell installs")
    arguments = parser.parse_args()

    for lesson in sorted(LESSONS.glob("plot_*.py")):
        name = lesson.stem.removeprefix("plot_")
        for kind in ("source", "release"):
            path = arguments.out / kind / f"lesson_{name}" / f"{name}.ipynb"
            path.parent.mkdir(parents=True, exist_ok=True)
            content = make_notebook(lesson, arguments.install, is_source=kind == "source")
            path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
