"""Sphinx configuration."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from napari_unet import __version__
from napari_unet.cli.parser import build_parser

project = "napari-unet"
author = "napari-unet developers"
copyright = "2026, napari-unet developers"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the numpydoc sections give the types, with shapes and units
numpydoc_show_class_members = False
autosummary_generate = False
numpydoc_xref_param_type = False
default_role = "code"

html_theme = "furo"
html_title = f"napari-unet {release}"


class CommandHelp(SphinxDirective):
    """Show the ``--help`` of a command as it is."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the help as a literal block."""
        name = self.arguments[0]
        commands: Any = next(action for action in build_parser([name])._actions if action.dest == "command")
        return [nodes.literal_block("", commands.choices[name].format_help(), language="text")]


def setup(app: Sphinx) -> None:
    """Register the directive."""
    app.add_directive("command-help", CommandHelp)
