"""Metadata hook of the build: README.md with links that also work on PyPI, where paths of the repository do not.

They begin with the Repository of `[project.urls]` in pyproject.toml; without it, they stay as they are.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"(\]\()(?!https?://|#)([^)\s]+\))")
PICTURE = re.compile(r'(src=")(?!https?://)([^"]+")')


def make_absolute(text: str, repository: str, version: str) -> str:
    """Return a page whose links lead to the files of a version in the repository."""
    text = LINK.sub(rf"\g<1>{repository}/blob/v{version}/\g<2>", text)
    return PICTURE.sub(rf"\g<1>{repository}/raw/v{version}/\g<2>", text)


class ReadmeHook(MetadataHookInterface):
    """Fills in the dynamic field `readme`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add README.md to the metadata."""
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        repository = metadata.get("urls", {}).get("Repository")
        if repository:
            text = make_absolute(text, repository, metadata["version"])
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
