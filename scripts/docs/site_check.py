"""Check a built site: `python scripts/docs/site_check.py docs/_build/html`; exit code 1 if something is wrong.

Every internal link must lead to an existing file and anchor. No page may load a script, style, font or picture from
another site.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADS: Mapping[str, str] = {
    "script": "src",
    "link": "href",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
}
"""Elements that load a file, and the attribute with its address."""
OUTSIDE_IN_STYLE = re.compile(r"""(?:url\(\s*['"]?|@import\s+['"])((?:https?:)?//[^'")\s]+)""")


class Page(HTMLParser):
    """Links, loaded files and anchors of a page.

    Args:
        path: HTML file of the page.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record the links, loaded files and anchors of an element."""
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if (attribute := LOADS.get(tag)) and values.get(attribute):
            self.loads.append(values[attribute])
        self.loads += OUTSIDE_IN_STYLE.findall(values.get("style", ""))


def find_faults(site: Path) -> Iterator[str]:
    """Yield a message for each broken link and each file loaded from another site."""
    pages = {path.resolve(): Page(path) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        name = path.relative_to(site.resolve())
        for address in page.loads:
            if is_outside(address):
                yield f"{name}: loads {address} from another site"

        for link in [*page.links, *page.loads]:
            if not is_outside(link) and not link.startswith("data:") and not is_valid_link(link, path, pages):
                yield f"{name}: broken link {link}"

    for path in sorted(site.rglob("*.css")):
        for address in OUTSIDE_IN_STYLE.findall(path.read_text(encoding="utf-8")):
            yield f"{path.relative_to(site)}: loads {address} from another site"


def is_outside(address: str) -> bool:
    """Return whether an address is outside the site."""
    return address.startswith("//") or urlsplit(address).scheme in {"http", "https", "mailto", "ftp"}


def is_valid_link(link: str, page: Path, pages: Mapping[Path, Page]) -> bool:
    """Return whether the file and the anchor of a link exist."""
    parts = urlsplit(link)
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if target.is_dir():
        target /= "index.html"
    if not target.exists():
        return False
    return not parts.fragment or target not in pages or unquote(parts.fragment) in pages[target].anchors


def main() -> int:
    """Print all faults; return 1 if there are any."""
    site = Path(sys.argv[1])
    faults = list(dict.fromkeys(find_faults(site)))
    for fault in faults:
        print(fault)
    print(f"{len(list(site.rglob('*.html')))} pages, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
