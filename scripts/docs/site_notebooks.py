"""Text of the notebooks that the site offers for download; docs/conf.py calls this.

sphinx-gallery converts the text of examples from reST to Markdown, but leaves folded admonitions and links to pages as
they are.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

FOLDED = re.compile(r"^\.\. admonition:: (.+)\n +:collapsible: closed\n((?: .*\n|\n)*)", re.MULTILINE)
PAGE = re.compile(r":doc:`(?:/generated/|/)?([^`]+)`")


class NumberSortKey:
    """Order of the examples in a gallery: by the number in their names, then by name."""

    def __init__(self, _folder: str) -> None: ...

    def __call__(self, name: str) -> tuple[int, str]:
        """Return the key of a file: lesson 10 follows lesson 9."""
        number = re.search(r"\d+", Path(name).name)
        return (int(number[0]) if number else 0, name)


def prepare_text(text: str) -> str:
    r"""Return reST with folded admonitions as HTML, and links to pages as names of pages.

    Example:
        >>> text = ".. admonition:: Answer\n   :collapsible: closed\n\n   Yes, see :doc:`/guides/data`.\n"
        >>> print(prepare_text(text).strip())
        <details>
        <summary>Answer</summary>
        <BLANKLINE>
        Yes, see ``guides/data``.
        <BLANKLINE>
        </details>
    """
    return PAGE.sub(r"``\1``", FOLDED.sub(_fold, text))


def _fold(found: re.Match[str]) -> str:
    return f"<details>\n<summary>{found[1]}</summary>\n\n{textwrap.dedent(found[2]).strip()}\n\n</details>\n\n"
