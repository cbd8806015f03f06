"""Sphinx configuration of the dvspipe site: `make docs`."""

from __future__ import annotations

import re
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.ext.napoleon.docstring import GoogleDocstring
from sphinx.writers.html5 import HTML5Translator
from sphinx_gallery.scrapers import figure_rst

from dvspipe.checkpoints.checkpoint import shipped_checkpoints
from dvspipe.cli.app import create_app, list_commands
from dvspipe.report.figures import Chart

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
GENERATED = DOCS / "generated"

COPIED = {
    "BENCHMARKS.md": "benchmarks",
    "CHANGELOG.md": "changelog",
    "CODE_OF_CONDUCT.md": "code-of-conduct",
    "CONTRIBUTING.md": "contributing",
    "RELEASE.md": "release",
    "SECURITY.md": "security",
} | {f"dvspipe/checkpoints/{name}.md": name for name in shipped_checkpoints()}
"""Files outside docs that are pages of the site, and the names of their pages."""
LINK = re.compile(r"(?<=\]\()(?!https?://|#)([^)#\s]+)(?=[^)]*\))")


def change_links(text: str, folder: Path) -> str:
    """Return Markdown of a folder with links to the pages of the site instead of files of the repository."""

    def to_page(found: re.Match[str]) -> str:
        path = (folder / found[1]).resolve()
        name = path.relative_to(ROOT).as_posix()
        if name in COPIED:
            return f"/generated/{COPIED[name]}.md"
        if name == "README.md":
            return "/index.md"
        return f"/{path.relative_to(DOCS).as_posix()}" if path.is_relative_to(DOCS) else found[1]

    return LINK.sub(to_page, text)


def describe_commands() -> str:
    """Return the page of the command line. An app has the options of one command: each section is of its own app."""
    page = create_app([]).generate_docs("markdown", max_heading_level=3)
    for command in list_commands():
        app = create_app(command.name.split(), progress=None)
        section = re.compile(rf"^#+ dvspipe {command.name}\n.*?(?=^#+ dvspipe |\Z)", re.MULTILINE | re.DOTALL)
        [text] = section.findall(app.generate_docs("markdown", max_heading_level=3))
        page = section.sub(lambda _, text=text: text, page)
    return page


GENERATED.mkdir(exist_ok=True)
for source, page in COPIED.items():
    text = (ROOT / source).read_text(encoding="utf-8")
    (GENERATED / f"{page}.md").write_text(change_links(text, (ROOT / source).parent), encoding="utf-8")
(GENERATED / "cli.md").write_text(describe_commands(), encoding="utf-8")

project = "dvspipe"
author = "The dvspipe authors"
copyright = author  # noqa: A001 (name required by Sphinx)
version = release = version_of("dvspipe")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "lessons", "gallery", "generated/*/*.py", "**/GALLERY_HEADER.rst"]
root_doc = "index"

myst_enable_extensions = ["attrs_inline"]  # allows setting the width of a picture
myst_heading_anchors = 4  # anchors for headings, as on GitHub
suppress_warnings = ["config.cache"]  # sphinx_gallery_conf contains functions
default_role = "literal"  # docstrings mark code with single backquotes, as in Markdown
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_default_options = {"exclude-members": "model_config"}
autosummary_ignore_module_all = False
templates_path = ["_templates"]
napoleon_google_docstring = True
napoleon_numpy_docstring = False
copybutton_exclude = ".linenos, .gp, .go"


class NumberSortKey:
    """Order of the examples in a gallery: by the number in their names, then by name."""

    def __init__(self, _folder: str) -> None: ...

    def __call__(self, name: str) -> tuple[int, str]:
        """Return the key of a file: lesson 10 follows lesson 9."""
        number = re.search(r"\d+", name)
        return (int(number[0]) if number else 0, name)


def save_charts(_block: object, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Save the dvspipe charts of a code block, unknown to pyplot: an image scraper for sphinx-gallery."""
    kept = block_vars["example_globals"].setdefault("_saved_charts", [])
    paths = []
    for value in list(block_vars["example_globals"].values()):
        if isinstance(value, Chart) and not any(value is one for one in kept):
            kept.append(value)
            paths.append(next(block_vars["image_path_iterator"]))
            value.savefig(paths[-1])
    return figure_rst(paths, gallery_conf["src_dir"])


sphinx_gallery_conf = {
    "image_scrapers": ("matplotlib", save_charts),
    "examples_dirs": ["lessons", "gallery"],
    "gallery_dirs": ["generated/lessons", "generated/gallery"],
    "filename_pattern": r"\.py$",
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,  # the pages would load scripts from other sites
    "show_signature": False,
    "min_reported_time": 60,
    "remove_config_comments": True,
    "capture_repr": (),
    "within_subsection_order": NumberSortKey,
    "reset_modules": ("matplotlib",),
}

# Napoleon takes the words before a colon in the text of a setting as its type.
GoogleDocstring._parse_attribute_docstring = GoogleDocstring._consume_to_end

highlight_language = "bash"  # default for code blocks: commands

html_theme = "furo"
html_math_renderer = "mathml"
pygments_dark_style = "a11y-dark"  # the default style underlines module names like links
html_title = "dvspipe"
html_static_path = ["_static"]
html_logo = html_favicon = "../dvspipe/app/logo.svg"
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}


def read_page(app: Sphinx, docname: str, source: list[str]) -> None:
    """Change the links of a page when Sphinx reads it."""
    path = Path(app.env.doc2path(docname))
    if path.suffix == ".md" and not path.is_relative_to(GENERATED):
        source[0] = change_links(source[0], path.parent)


def write_math(translator: HTML5Translator, node: nodes.math | nodes.math_block) -> None:
    """Write an equation as MathML, which browsers show without a script.

    The parts of a block between wide spaces are separate equations: narrow pages show them below each other.
    """
    if isinstance(node, nodes.math_block):
        parts = (tex2mathml(part, as_block=True) for part in node.astext().split(r"\qquad"))
        translator.body.append(f'<div class="equations">{"".join(parts)}</div>')
    else:
        translator.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Register `read_page` and `write_math`."""
    app.connect("source-read", read_page)
    app.add_html_math_renderer("mathml", (write_math, None), (write_math, None))
