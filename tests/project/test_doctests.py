"""Docstring examples have the outputs that they show."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import dvspipe

PACKAGE = Path(dvspipe.__file__).parent
MODULES = sorted(
    ".".join(("dvspipe", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if ">>>" in path.read_text(encoding="utf-8")
)
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
SLOW = {
    f"dvspipe.{name}"
    for name in (
        "inference.classifier",
        "networks.integrate_and_fire",
        "networks.module",
        "rules.convolution",
        "rules.eventprop",
        "rules.segments",
        "rules.superspike",
        "rules.traces",
    )
}
"""Modules with examples that take several seconds, mostly to compile kernels."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in MODULES]
)
def test_docstring_examples_of_a_module_are_correct(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    assert doctest.testmod(module, optionflags=OPTIONS, extraglobs={"tmp_path": tmp_path}).failed == 0
