"""Every figure of the course: colours, sizes and captions live here and nowhere else.

Each function shows its figure with alternative text, closes it and returns it. All take the same
four keywords: ``title`` (heading), ``caption`` (small text below), ``alt`` (alternative text, made
from what is drawn if left out) and ``display`` (False only returns the figure). Pictures, maps and
masks may be tensors on any device, with or without gradient, arrays, or PIL images; maps may be
results such as `integrated_gradients` returns.
"""

from . import style
from .arrays import to_image, to_map
from .canvas import figure, show
from .charts import plot_confusion, plot_history, plot_intervals
from .grid import Panel, show_attributions, show_gallery, show_grid
from .sheets import contact_sheet, draw_pair

__all__ = [
    "Panel", "contact_sheet", "draw_pair", "figure", "plot_confusion", "plot_history",
    "plot_intervals", "show", "show_attributions", "show_gallery", "show_grid", "style",
    "to_image", "to_map",
]  # fmt: skip

style.apply()
