"""Every figure of the course: colours, sizes and captions live here and nowhere else.

Each function shows its figure with alternative text, closes it and returns it; ``display=False``
only returns it. Tensors may be on any device, with or without gradient.
"""

from . import style
from .arrays import describe_map, strongest_region, to_image, to_map
from .canvas import CourseFigure, figure, redisplay, show
from .curves import plot_convergence, plot_curves, plot_intervals
from .maps import show_attributions, show_baselines, show_gallery, show_signed_parts
from .measures import plot_parts
from .panels import Panel
from .parts import color_parts, label_parts
from .path import plot_path, saturation_point
from .poster import poster
from .predictions import plot_predictions, plot_top_k
from .sheets import show_grid
from .style import format_number, format_percent
from .training import (
    plot_accuracy_by_size,
    plot_calibration,
    plot_confusion,
    plot_history,
    plot_scores,
    show_mistakes,
)

__all__ = [
    "CourseFigure",
    "Panel",
    "color_parts",
    "describe_map",
    "figure",
    "format_number",
    "format_percent",
    "label_parts",
    "plot_accuracy_by_size",
    "plot_calibration",
    "plot_confusion",
    "plot_convergence",
    "plot_curves",
    "plot_history",
    "plot_intervals",
    "plot_parts",
    "plot_path",
    "plot_predictions",
    "plot_scores",
    "plot_top_k",
    "poster",
    "redisplay",
    "saturation_point",
    "show",
    "show_attributions",
    "show_baselines",
    "show_gallery",
    "show_grid",
    "show_mistakes",
    "show_signed_parts",
    "strongest_region",
    "style",
    "to_image",
    "to_map",
]

style.apply()
