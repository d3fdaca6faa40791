"""Rendered scenes: pictures whose every pixel is known, and that can be rendered again, changed.

``render("vegetables", 12, 128)`` draws twelve random scenes and renders them, with masks that say
which part each pixel shows. ``intervene(scene, "remove_calyx")`` changes one thing and nothing
else, so that what a network relies on can be tested instead of guessed.

How it works, from the inside out: `geometry` (shapes), `noise` and `surfaces` (textures), `camera`,
`marching` (what a ray meets), `shading` (light), `tracing` (a bundle of rays), `rendering` (a
picture), then one module for each family of scenes, and `catalogue`, which has the functions
below.
"""

from .catalogue import (
    classes,
    draw,
    families,
    intervene,
    interventions,
    parts,
    render,
    render_scenes,
)
from .families import Rendering, Scene

__all__ = [
    "Rendering",
    "Scene",
    "classes",
    "draw",
    "families",
    "intervene",
    "interventions",
    "parts",
    "render",
    "render_scenes",
]
