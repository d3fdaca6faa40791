"""Rules that turn the integral of a path method into a sum."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..checks import one_of

#: The quadratures of Captum, and one of ours.
# fmt: off
METHODS = (
    "riemann_left", "riemann_right", "riemann_middle", "riemann_trapezoid", "gausslegendre",
    "squared_midpoint",
)
# fmt: on


def quadrature(method: str, n_steps: int) -> tuple[Tensor, Tensor]:
    r"""Positions and weights that turn an integral over [0, 1] into a sum.

    Parameters
    ----------
    method : str
        "riemann_left", "riemann_right", "riemann_middle", "riemann_trapezoid" or "gausslegendre",
        each as Captum defines it, or "squared_midpoint": the midpoint rule after the substitution
        :math:`\alpha = u^2`, so that :math:`\int_0^1 g(\alpha) d\alpha = \int_0^1 g(u^2)\,2u\,du`.
        It looks more closely at the start of the path, where networks change fastest.
    n_steps : int
        Number of positions, which is the number of gradients to compute. At least 1; at least 2
        for the trapezoidal rule.

    Returns
    -------
    alphas, weights : Tensor (n_steps,), Tensor (n_steps,)
        In float64 and in rising order. The weights sum to 1, except for "riemann_trapezoid": Captum
        divides its n points' weights by n, not by the n - 1 intervals between them, so they sum to
        1 - 1/n.

    Raises
    ------
    ValueError
        For an unknown method or too few steps.
    """
    one_of("method", method, METHODS)
    if isinstance(n_steps, bool) or not isinstance(n_steps, int | np.integer):
        raise TypeError(f"n_steps must be a whole number, got {n_steps!r}.")
    fewest = 2 if method == "riemann_trapezoid" else 1
    if n_steps < fewest:
        raise ValueError(f"{method} needs n_steps of at least {fewest}, got {n_steps}.")
    if method == "gausslegendre":
        nodes, node_weights = np.polynomial.legendre.leggauss(n_steps)
        return torch.from_numpy((nodes + 1) / 2), torch.from_numpy(node_weights / 2)
    if method == "squared_midpoint":
        middles = (torch.arange(n_steps, dtype=torch.float64) + 0.5) / n_steps
        return middles**2, 2 * middles / n_steps
    step = 1 / n_steps
    first = {"riemann_right": step, "riemann_middle": step / 2}.get(method, 0)
    last = {"riemann_left": 1 - step, "riemann_middle": 1 - step / 2}.get(method, 1)
    # rounded to float32 because Captum's are: ReLU networks notice a difference of 1e-8
    alphas = torch.linspace(first, last, n_steps, dtype=torch.float32).double()
    weights = torch.full_like(alphas, step)
    if method == "riemann_trapezoid":
        weights[[0, -1]] /= 2
    return alphas, weights
