"""Sphinx configuration of the documentation site: `make docs`."""

from pygments.lexers.special import TextLexer
from sphinx.highlighting import lexers

from durable import __version__

project = "Carryall"
author = "the Carryall authors"
version = release = __version__
extensions = ["myst_parser"]
myst_heading_anchors = 4
exclude_patterns = ["images/*.py"]
suppress_warnings = ["toc.not_included"]  # decisions/README.md links to each record
html_theme = "furo"
html_title = f"Carryall {version}"
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"top_of_page_buttons": []}
lexers["mermaid"] = (
    TextLexer()
)  # code hosts draw these diagrams; here they are shown as text, so that no script is loaded
