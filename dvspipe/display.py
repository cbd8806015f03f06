"""How values show themselves in a notebook.

The methods `_repr_html_`, `plot` and `animate` of a value are the only code that uses a module after its own: they
import `report` when they are called, so that the value itself needs no matplotlib.
"""

from __future__ import annotations


class Shown:
    """A value that notebooks show as HTML, as `report.notebook` describes it; elsewhere its `repr` is shown."""

    __slots__ = ()

    def _repr_html_(self) -> str | None:
        """Return HTML without scripts and links, or None, with which a notebook shows the `repr`, if that fails.

        Whatever is missing or wrong, such as OpenCV, a cell that ends in a value must not fail because of its picture.
        """
        try:
            from .report.notebook import describe

            return describe(self)
        except Exception:
            return None
