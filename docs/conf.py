"""The user guide: pages in Markdown, reference from the docstrings. Built by `make docs`."""

import tefast

project = "tefast"
author = "The tefast developers"
project_copyright = author
version = release = tefast.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "matplotlib.sphinxext.plot_directive",
]
exclude_patterns = ["_build", "study", "gates"]
html_theme = "furo"
html_title = "tefast"
nitpicky = False  # docstrings name types as people say them
suppress_warnings = ["ref.python"]  # and parameters, which two classes have as attributes
autodoc_typehints = "none"  # docstrings say more: shapes and units
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
myst_heading_anchors = 3
plot_include_source = True
plot_html_show_source_link = False
plot_html_show_formats = False
plot_formats = [("png", 120)]
