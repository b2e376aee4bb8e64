"""The site that `make docs` builds with Sphinx from this folder: it works from the disk, and asks no network."""

import sys
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

from building import api, claims, equations, indices, methods, notebooks  # noqa: E402

project = "ot_gen"
copyright = "The ot_gen developers"
extensions = ["myst_nb"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 4
nb_merge_streams = True
nb_execution_mode = "off"  # building.notebooks has executed them
exclude_patterns = ["building", "_build", "**/.ipynb_checkpoints"]
suppress_warnings = ["misc.highlighting_failure"]

html_theme = "furo"
html_title = "ot_gen"
html_favicon = "icon.svg"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_show_search_summary = False  # summaries are fetched, which browsers refuse on the disk
html_copy_source = False
python_maximum_signature_line_length = 88
pygments_style, pygments_dark_style = "tango", "native"


def generated(app: Sphinx) -> None:
    """Write the pages that come from the code."""
    folder = DOCS / "generated"
    api.write(folder / "api")
    notebooks.write(DOCS / "notebooks", folder / "notebooks")
    claims.write(DOCS.parent, folder)


def complete(app: Sphinx, name: str, text: list[str]) -> None:
    """Put the tables of methods where a page asks for them; links lead to the copies of pages that lie elsewhere."""
    if not name.startswith("generated/notebooks/"):
        text[0] = indices.drawn(claims.led(methods.insert(text[0])))


def setup(app: Sphinx) -> None:
    """Connect what the site adds to Sphinx."""
    equations.setup(app)
    app.connect("builder-inited", generated)
    app.connect("source-read", complete)
