"""The course as static pages: executed notebooks through nbconvert, with a template of our own.

nbconvert, because it comes with JupyterLab, reads notebooks as they are (no second document model
to keep in step) and hands over each output's metadata, where the figures' alternative text is.

Pages need no script and no network: formulas become MathML while the site is built, pictures become
files beside the page, style is one local sheet that follows the reader's light or dark scheme.
"""

from tools.site.build import build_site

__all__ = ["build_site"]
