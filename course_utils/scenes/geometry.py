"""Vectors, rotations and signed distances: the shapes that scenes are made of.

A **signed distance function** answers, for a point in space, how far away the surface of a shape is:
positive outside, zero on the surface, negative inside. It need not be exact; it must never claim
more than the true distance, so that a ray may step that far without passing through the surface
(Hart 1996, "Sphere tracing"). Shapes combine by taking minima (union), maxima (intersection) or their
smooth versions, which round the seam.

Conventions: a bundle of R vectors is a tensor of shape (3, R), a scalar per ray one of shape (R,).
What is the same for all rays may have R = 1 and broadcasts. y points up, the floor is y = 0.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

Scalar = float | Tensor

#: Axes by name, for `rotate` and `cylinder`.
X, Y, Z = 0, 1, 2


@functools.lru_cache(maxsize=4096)
def _constant(x: float, y: float, z: float) -> Tensor:
    return torch.tensor([[x], [y], [z]], dtype=torch.float32)


def vector(x: Scalar, y: Scalar, z: Scalar) -> Tensor:
    """Stack three numbers or per-ray scalars to vectors, shape (3, R) or (3, 1)."""
    if not any(isinstance(part, Tensor) for part in (x, y, z)):
        return _constant(float(x), float(y), float(z))
    parts = [torch.as_tensor(part, dtype=torch.float32).reshape(-1) for part in (x, y, z)]
    return torch.stack(torch.broadcast_tensors(*parts))


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product of vectors, shape (R,)."""
    product = a * b
    return product[0] + product[1] + product[2]


def length(v: Tensor) -> Tensor:
    """Euclidean length of vectors of 2 or 3 components, shape (R,)."""
    squares = v * v
    total = squares[0] + squares[1]
    return (total + squares[2] if len(v) == 3 else total).sqrt()


def radius(a: Tensor, b: Tensor) -> Tensor:
    """Distance from the axis, given the two coordinates across it: √(a² + b²)."""
    return (a * a + b * b).sqrt()


def normalize(v: Tensor) -> Tensor:
    """Scale vectors to length 1."""
    return v / length(v).clamp(min=1e-9)


def mix(a: Scalar, b: Scalar, share: Scalar) -> Tensor:
    """Blend linearly: `a` where share is 0, `b` where it is 1."""
    return a + (b - a) * share


def smoothstep(start: Scalar, stop: Scalar, x: Tensor) -> Tensor:
    """Rise from 0 at `start` to 1 at `stop` with zero slope at both ends; start > stop falls."""
    share = ((x - start) / (stop - start)).clamp(0, 1)
    return share * share * (3 - 2 * share)


# --- moving space instead of shapes -----------------------------------------------------------


def mirror(point: Tensor, axis: int = X) -> Tensor:
    """Fold space along one axis, so that one shape appears on both sides."""
    rows = list(point)
    rows[axis] = rows[axis].abs()
    return torch.stack(rows)


def rotate(point: Tensor, axis: int, angle: float) -> Tensor:
    """Turn space about an axis by a fixed angle, in radians.

    Angles that differ from scene to scene belong into a rotation matrix, made once per scene
    (`drawing.rotation_matrix`) and applied by `to_local`.
    """
    cosine, sine = math.cos(angle), math.sin(angle)
    first, second = [(1, 2), (2, 0), (0, 1)][axis]
    rows = list(point)
    rows[first] = cosine * point[first] + sine * point[second]
    rows[second] = cosine * point[second] - sine * point[first]
    return torch.stack(rows)


def to_local(point: Tensor, rotation: Tensor, position: Tensor | None = None) -> Tensor:
    """World coordinates to those of an object.

    Parameters
    ----------
    point : Tensor
        (3, R), world coordinates.
    rotation : Tensor
        (9, R) or (9, 1): object-to-world matrix, row by row. Its transpose is applied.
    position : Tensor, optional
        (3, R) or (3, 1): the object's origin in the world.
    """
    x, y, z = point if position is None else point - position
    m = rotation
    return torch.stack(
        [
            m[0] * x + m[3] * y + m[6] * z,
            m[1] * x + m[4] * y + m[7] * z,
            m[2] * x + m[5] * y + m[8] * z,
        ]
    )


# --- primitives -------------------------------------------------------------------------------


def sphere(point: Tensor, size: Scalar) -> Tensor:
    """Signed distance to a sphere of radius `size` around the origin (exact)."""
    return length(point) - size


def ellipsoid(point: Tensor, radii: Tensor) -> Tensor:
    """Signed distance to an ellipsoid (first-order: exact on the surface, close to it nearby)."""
    scaled = point / radii
    stretch = length(scaled)
    return stretch * (stretch - 1) / length(scaled / radii).clamp(min=1e-6)


def capsule(
    point: Tensor, start: Tensor, end: Tensor, start_radius: Scalar, end_radius: Scalar
) -> Tensor:
    """Signed distance to a stick with round ends whose radius changes from one end to the other.

    Exact where both radii are equal; else too large by at most a few per cent for gentle tapers.
    """
    from_start, axis = point - start, end - start
    along = (dot(from_start, axis) / dot(axis, axis)).clamp(0, 1)
    return length(from_start - axis * along) - (start_radius + (end_radius - start_radius) * along)


def box(point: Tensor, half_size: Tensor, rounding: float = 0.02) -> Tensor:
    """Signed distance to a box with rounded edges (exact); `half_size` includes the rounding."""
    beyond = point.abs() - (half_size - rounding)
    return length(beyond.clamp(min=0)) + beyond.amax(0).clamp(max=0) - rounding


def cylinder(
    point: Tensor, half_height: Scalar, size: Scalar, axis: int = Y, rounding: float = 0.01
) -> Tensor:
    """Signed distance to a cylinder of radius `size` with rounded rims (exact)."""
    across = [row for index, row in enumerate(point) if index != axis]
    outside = radius(*across) - size + rounding
    above = point[axis].abs() - half_height + rounding
    inner = torch.maximum(outside, above).clamp(max=0)
    return inner + radius(outside.clamp(min=0), above.clamp(min=0)) - rounding


def torus(point: Tensor, ring_radius: Scalar, tube_radius: Scalar) -> Tensor:
    """Signed distance to a ring around the y axis (exact)."""
    return radius(radius(point[0], point[2]) - ring_radius, point[1]) - tube_radius


# --- combinations -----------------------------------------------------------------------------


def union(*distances: Tensor) -> Tensor:
    """All the shapes together: the smallest distance."""
    return functools.reduce(torch.minimum, distances)


def smooth_union(a: Tensor, b: Tensor, width: float) -> Tensor:
    """Both shapes, with the seam filled where the distances differ by less than `width`.

    Quadratic polynomial blend (Quilez): between ``min(a, b) - width / 4`` and ``min(a, b)``.
    """
    overlap = (width - (a - b).abs()).clamp(min=0) / width
    return torch.minimum(a, b) - overlap * overlap * (width * 0.25)


def smooth_intersection(a: Tensor, b: Tensor, width: float) -> Tensor:
    """What both shapes share, with a rounded edge; cut `b` out of `a` by passing ``-b``."""
    return -smooth_union(-a, -b, width)


def no_shape(point: Tensor) -> Tensor:
    """Nothing: far away from everywhere."""
    return torch.full_like(point[0], 9.0)


def choose(mask: Tensor, where_true: Scalar, where_false: Scalar) -> Tensor:
    """`torch.where` that also takes two plain numbers; shapes broadcast."""
    return torch.where(mask, torch.as_tensor(where_true), torch.as_tensor(where_false))


def linear_color(rgb: Sequence[float]) -> Tensor:
    """Colour as on a screen (three numbers in [0, 1]) to linear light, shape (3, 1)."""
    red, green, blue = (min(max(part, 0.0), 1.0) ** 2.2 for part in rgb)
    return _constant(red, green, blue)
