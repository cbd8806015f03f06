"""Check a built site: `python scripts/docs/site_check.py docs/_build/html`; exit code 1 if something is wrong.

Every link inside the site leads to a file and a place in it, and no page loads a script, style, font or picture from
elsewhere.
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
"""Elements that load a file, and the attribute that names it."""
OUTSIDE_IN_STYLE = re.compile(r"""(?:url\(\s*['"]?|@import\s+['"])((?:https?:)?//[^'")\s]+)""")


class Page(HTMLParser):
    """What a page links to, what it loads, and the places in it.

    Args:
        path: The file of the page.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.places: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        values = {name: value or "" for name, value in attrs}
        self.places |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if (attribute := LOADS.get(tag)) and values.get(attribute):
            self.loads.append(values[attribute])
        self.loads += OUTSIDE_IN_STYLE.findall(values.get("style", ""))


def find_faults(site: Path) -> Iterator[str]:
    """Yield a sentence for each link that leads nowhere and each file that is loaded from elsewhere."""
    pages = {path.resolve(): Page(path) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        name = path.relative_to(site.resolve())
        for address in page.loads:
            if is_outside(address):
                yield f"{name}: loads {address} from elsewhere"
        for link in [*page.links, *page.loads]:
            if not is_outside(link) and not link.startswith("data:") and not leads_somewhere(link, path, pages):
                yield f"{name}: {link} leads nowhere"
    for path in sorted(site.rglob("*.css")):
        for address in OUTSIDE_IN_STYLE.findall(path.read_text(encoding="utf-8")):
            yield f"{path.relative_to(site)}: loads {address} from elsewhere"


def is_outside(address: str) -> bool:
    """Return whether an address is outside the site."""
    return address.startswith("//") or urlsplit(address).scheme in {"http", "https", "mailto", "ftp"}


def leads_somewhere(link: str, page: Path, pages: Mapping[Path, Page]) -> bool:
    """Return whether the file of a link exists, and the place in it."""
    parts = urlsplit(link)
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if target.is_dir():
        target /= "index.html"
    if not target.exists():
        return False
    return not parts.fragment or target not in pages or unquote(parts.fragment) in pages[target].places


def main() -> int:
    """Print what is wrong; return 1 if anything is."""
    site = Path(sys.argv[1])
    faults = list(dict.fromkeys(find_faults(site)))
    for fault in faults:
        print(fault)
    print(f"{len(list(site.rglob('*.html')))} pages, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
