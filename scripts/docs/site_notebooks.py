"""Text of the notebooks that the site offers for download; docs/conf.py calls this.

sphinx-gallery converts the text of examples from reST to Markdown, but leaves folded admonitions and links to pages as
they are.
"""

from __future__ import annotations

import re
import textwrap

FOLDED = re.compile(r"^\.\. admonition:: (.+)\n +:collapsible: closed\n((?: .*\n|\n)*)", re.MULTILINE)
PAGE = re.compile(r":doc:`(?:/generated/|/)?([^`]+)`")


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
