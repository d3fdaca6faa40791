"""What surfaces look like: materials, and the light that comes back from them.

The light model has five terms, each a picture-maker's stand-in for the physics:

- **key light**, the sun or a lamp: a surface receives it in proportion to the cosine between its
  normal and the direction of the light (Lambert), times the share that is not in shadow;
- **ambient light**, from everywhere, more from above, less in corners (ambient occlusion);
- **bounce**: the floor's colour, thrown back from below;
- **highlights**: the key light mirrored by a glossy surface (Blinn-Phong), and at grazing angles
  the surroundings as well (Fresnel effect);
- **translucency**: light that enters skin or fruit near the shadow's edge comes out reddish.

All colours are linear light: twice the number is twice the light. `rendering` turns them into what
a screen expects.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .geometry import Array, Scalar, clip, dot, linear_color, mix, normalize, smoothstep
from .parameters import Parameters

_FLESH = linear_color((1.0, 0.45, 0.3))


@dataclass
class Material:
    """What a surface is made of, at R points.

    Attributes
    ----------
    color : Array
        (3, R): share of the light that comes back, linear.
    part : Array or int
        (R,) or one number: the id written into the mask.
    specular : Array or float
        Strength of highlights: 0 for cloth, 0.3 for skin of fruit, 1 for lacquer.
    gloss : Array or float
        Their sharpness: 10 broad, 70 sharp.
    translucency : Array or float
        0 to 1.
    glow : Array or float
        (3, R): light of its own.
    """

    color: Array
    part: Array | int
    specular: Scalar = 0.1
    gloss: Scalar = 15.0
    translucency: Scalar = 0.0
    glow: Scalar = 0.0


def shade(
    material: Material,
    normal: Array,
    towards_eye: Array,
    p: Parameters,
    light_share: Array,
    open_share: Array,
) -> Array:
    """Linear colour (3, R) of surface points.

    Parameters
    ----------
    material : Material
        What is there.
    normal, towards_eye : Array
        (3, R), of length 1.
    p : Parameters
        `light` (direction towards the lamp), `key`, `ambient` and `bounce` (colours).
    light_share, open_share : Array
        (R,): how much of the lamp and of the sky the point sees.
    """
    towards_light = p.light
    facing = dot(normal, towards_light)
    key = np.maximum(facing, 0.0) * light_share
    sky = 0.6 + 0.4 * normal[1]
    ground = 0.5 - 0.5 * normal[1]
    bounce = p.bounce * (0.25 * ground)
    near_edge_of_shadow = 1 - np.abs(facing)
    inside = _FLESH * (material.translucency * near_edge_of_shadow * near_edge_of_shadow * 0.25)
    diffuse = p.key * key + p.ambient * (open_share * sky) + bounce * open_share + inside

    halfway = normalize(towards_light + towards_eye)
    highlight = clip(dot(normal, halfway), 1e-6, 1.0) ** material.gloss
    highlight = material.specular * highlight * np.maximum(key, 0.2) * (key > 0)
    grazing = 1 - clip(dot(normal, towards_eye), 0.0, 1.0)
    grazing = (grazing * grazing) * (grazing * grazing)
    mirrored_height = 2 * dot(normal, towards_eye) * normal[1] - towards_eye[1]
    surroundings = mix(p.bounce * 0.25, p.ambient, smoothstep(-0.3, 0.3, mirrored_height))
    surroundings = surroundings * (grazing * open_share * np.minimum(material.specular, 1.0) * 0.8)
    return material.color * diffuse + p.key * highlight + surroundings + material.glow
