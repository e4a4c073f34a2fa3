"""Sphinx configuration."""

from __future__ import annotations

from napari_unet import __version__

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
