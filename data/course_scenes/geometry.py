"""Vectors, rotations and signed distances: the shapes that scenes are made of.

A **signed distance function** answers, for a point in space, how far the surface of a shape is:
positive outside, zero on the surface, negative inside. It need not be exact; it must never claim
more than the true distance, so that a ray may step that far without passing through the surface
(Hart 1996, "Sphere tracing"). Shapes combine by taking minima (union), maxima (intersection) or
their smooth versions, which round the seam.

Conventions: a bundle of R vectors is an array of shape (3, R), a number per ray one of shape (R,),
all float32. What is the same for all rays may have R = 1 and broadcasts. y points up, the floor is
y = 0.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np

Array = np.ndarray
Scalar = float | Array

#: Axes by name, for `rotate` and `cylinder`.
X, Y, Z = 0, 1, 2


@functools.lru_cache(maxsize=4096)
def _constant(x: float, y: float, z: float) -> Array:
    constant = np.array([[x], [y], [z]], np.float32)
    constant.flags.writeable = False  # it is shared
    return constant


def vector(x: Scalar, y: Scalar, z: Scalar) -> Array:
    """Stack three numbers or per-ray scalars to vectors, shape (3, R) or (3, 1)."""
    if not (isinstance(x, Array) or isinstance(y, Array) or isinstance(z, Array)):
        return _constant(float(x), float(y), float(z))
    rays = max([part.size for part in (x, y, z) if isinstance(part, Array)])
    result = np.empty((3, rays), np.float32)
    result[0], result[1], result[2] = x, y, z
    return result


def dot(a: Array, b: Array) -> Array:
    """Inner product of vectors, shape (R,)."""
    product = a * b
    return product[0] + product[1] + product[2]


def length(v: Array) -> Array:
    """Euclidean length of vectors of 2 or 3 components, shape (R,)."""
    squares = v * v
    total = squares[0] + squares[1]
    return np.sqrt(total + squares[2] if len(v) == 3 else total)


def radius(a: Array, b: Array) -> Array:
    """Distance from the axis, given the two coordinates across it: √(a² + b²)."""
    return np.sqrt(a * a + b * b)


def normalize(v: Array) -> Array:
    """Scale vectors to length 1."""
    return v / np.maximum(length(v), 1e-9)


def clip(x: Array, low: Scalar, high: Scalar) -> Array:
    """Limit to [low, high]; like `numpy.clip`, with less ado for small arrays."""
    return np.minimum(np.maximum(x, low), high)


def mix(a: Scalar, b: Scalar, share: Scalar) -> Array:
    """Blend linearly: `a` where share is 0, `b` where it is 1."""
    return a + (b - a) * share


def smoothstep(start: Scalar, stop: Scalar, x: Array) -> Array:
    """Rise from 0 at `start` to 1 at `stop` with zero slope at both ends; start > stop falls."""
    share = clip((x - start) * (1 / (stop - start)), 0.0, 1.0)
    return share * share * (3 - 2 * share)


# --- moving space instead of shapes -----------------------------------------------------------


def mirror(point: Array, axis: int = X) -> Array:
    """Fold space along one axis, so that one shape appears on both sides."""
    folded = point.copy()
    np.abs(point[axis], out=folded[axis])
    return folded


def rotate(point: Array, axis: int, angle: float) -> Array:
    """Turn space about an axis by a fixed angle, in radians.

    Angles that differ from scene to scene belong into a rotation matrix, made once per scene
    (`drawing.rotation_matrix`) and applied by `to_local`.
    """
    cosine, sine = math.cos(angle), math.sin(angle)
    first, second = [(1, 2), (2, 0), (0, 1)][axis]
    turned = point.copy()
    turned[first] = cosine * point[first] + sine * point[second]
    turned[second] = cosine * point[second] - sine * point[first]
    return turned


def to_local(point: Array, rotation: Array, position: Array | None = None) -> Array:
    """World coordinates to those of an object.

    Parameters
    ----------
    point : Array
        (3, R), world coordinates.
    rotation : Array
        (9, R) or (9, 1): object-to-world matrix, row by row. Its transpose is applied.
    position : Array, optional
        (3, R) or (3, 1): the object's origin in the world.
    """
    x, y, z = point if position is None else point - position
    row = rotation.reshape(3, 3, -1)
    local = row[0] * x
    local += row[1] * y
    local += row[2] * z
    return local


# --- primitives -------------------------------------------------------------------------------


def sphere(point: Array, size: Scalar) -> Array:
    """Signed distance to a sphere of radius `size` around the origin (exact)."""
    return length(point) - size


def ellipsoid(point: Array, radii: Array) -> Array:
    """Signed distance to an ellipsoid (first-order: exact on the surface, close to it nearby)."""
    scaled = point / radii
    stretch = length(scaled)
    return stretch * (stretch - 1) / np.maximum(length(scaled / radii), 1e-6)


def capsule(
    point: Array, start: Array, end: Array, start_radius: Scalar, end_radius: Scalar
) -> Array:
    """Signed distance to a stick with round ends whose radius changes from one end to the other.

    Exact where both radii are equal; else too large by at most a few per cent for gentle tapers.
    """
    from_start, axis = point - start, end - start
    along = clip(dot(from_start, axis) / dot(axis, axis), 0.0, 1.0)
    return length(from_start - axis * along) - (start_radius + (end_radius - start_radius) * along)


def box(point: Array, half_size: Array, rounding: float = 0.02) -> Array:
    """Signed distance to a box with rounded edges (exact); `half_size` includes the rounding."""
    beyond = np.abs(point) - (half_size - rounding)
    return length(np.maximum(beyond, 0.0)) + np.minimum(beyond.max(0), 0.0) - rounding


def cylinder(
    point: Array, half_height: Scalar, size: Scalar, axis: int = Y, rounding: float = 0.01
) -> Array:
    """Signed distance to a cylinder of radius `size` with rounded rims (exact)."""
    across = [row for index, row in enumerate(point) if index != axis]
    outside = radius(*across) - size + rounding
    above = np.abs(point[axis]) - half_height + rounding
    inner = np.minimum(np.maximum(outside, above), 0.0)
    return inner + radius(np.maximum(outside, 0.0), np.maximum(above, 0.0)) - rounding


def torus(point: Array, ring_radius: Scalar, tube_radius: Scalar) -> Array:
    """Signed distance to a ring around the y axis (exact)."""
    return radius(radius(point[0], point[2]) - ring_radius, point[1]) - tube_radius


# --- combinations -----------------------------------------------------------------------------


def union(*distances: Array) -> Array:
    """All the shapes together: the smallest distance."""
    return functools.reduce(np.minimum, distances)


def smooth_union(a: Array, b: Array, width: Scalar) -> Array:
    """Both shapes, with the seam filled where the distances differ by less than `width`.

    Quadratic polynomial blend (Quilez): between ``min(a, b) - width / 4`` and ``min(a, b)``.
    """
    overlap = np.abs(a - b)
    np.maximum(width - overlap, 0.0, out=overlap)
    overlap *= overlap
    overlap *= 0.25 / width
    return np.minimum(a, b) - overlap


def smooth_intersection(a: Array, b: Array, width: Scalar) -> Array:
    """Keep what both shapes share, with a rounded edge; cut `b` out of `a` by passing ``-b``."""
    return -smooth_union(-a, -b, width)


def no_shape(point: Array) -> Array:
    """Nothing: far away from everywhere."""
    return np.full_like(point[0], 9.0)


def choose(mask: Array, where_true: Scalar, where_false: Scalar) -> Array:
    """`np.where` that also takes two plain numbers; shapes broadcast."""
    return np.where(mask, np.float32(where_true), np.float32(where_false))


def linear_color(rgb: Sequence[float]) -> Array:
    """Colour as on a screen (three numbers in [0, 1]) to linear light, shape (3, 1)."""
    red, green, blue = (min(max(part, 0.0), 1.0) ** 2.2 for part in rgb)
    return _constant(red, green, blue)
