"""Maps that look at no network: what an explanation has to beat before its score means anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad
from torch.signal.windows import gaussian

from ..checks import check_images, one_of, to_numpy
from .arrays import Floats
from .statistics import Interval, PermutationTest, bootstrap_interval, permutation_test


def random_maps(images: Tensor, seed: int = 0) -> Tensor:
    """Uniform noise in [0, 1): the level of chance.

    Parameters
    ----------
    images : Tensor (N, C, H, W)
        Pictures or maps; only shape, type and device matter.
    seed : int
        The same seed gives the same maps on every device.

    Returns
    -------
    Tensor (N, 1, H, W)
    """
    images = _pictures(images)
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(len(images), 1, *images.shape[-2:], generator=generator).to(images)


def edge_maps(images: Tensor) -> Tensor:
    """Sobel gradient magnitude of the grey picture: what an edge detector finds.

    Explanations look convincing because networks react to edges; so does this map, which knows no
    network (Adebayo et al.: Sanity checks for saliency maps, NeurIPS 2018, figure 1). Beyond the
    border the picture goes on with its last row and column, so a frame is no edge.

    Parameters
    ----------
    images : Tensor (N, C, H, W)
        Normalised or not; channels are averaged.

    Returns
    -------
    Tensor (N, 1, H, W), not negative
        Change of the grey value per pixel.
    """
    grey = _pictures(images).mean(dim=1, keepdim=True)
    rows = torch.tensor([[1.0, 2, 1], [0, 0, 0], [-1, -2, -1]]).to(grey) / 8
    kernels = torch.stack([rows, rows.T])[:, None]
    padded = pad(grey, (1, 1, 1, 1), mode="replicate")
    return torch.hypot(*conv2d(padded, kernels).split(1, dim=1))


def center_maps(images: Tensor) -> Tensor:
    """Gaussian blob in the middle: people put what they photograph into the centre.

    Judd, Durand, Torralba: A benchmark of computational models of saliency, MIT 2012, found such a
    blob to predict where people look better than many models did. Its standard deviation is a fifth
    of each side.

    Parameters
    ----------
    images : Tensor (N, C, H, W)
        Only shape, type and device matter.

    Returns
    -------
    Tensor (N, 1, H, W) in (0, 1]
    """
    images = _pictures(images)
    height, breadth = (gaussian(side, std=0.2 * side) for side in images.shape[-2:])
    return (height[:, None] * breadth).to(images).expand(len(images), 1, -1, -1)


def _pictures(images: Any) -> Tensor:
    """Pictures of any type, as float32 at least."""
    images = torch.as_tensor(images)
    return check_images(images.to(torch.promote_types(images.dtype, torch.float32)), "images")


#: Name to the function (images, seed) -> maps (N, 1, H, W), in the order in which they are shown.
CONTROLS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "Edge detector": lambda images, _: edge_maps(images),
    "Centre": lambda images, _: center_maps(images),
    "Random": random_maps,
}


@dataclass(frozen=True)
class Comparison:
    """One measure of several methods and of controls, on the same images.

    Attributes
    ----------
    values : dict of str to ndarray (N,)
        For every method, then every control.
    intervals : dict of str to Interval
        Mean over images.
    controls : tuple of str
        Which names are controls.
    better : {"higher", "lower"}
    seed : int
        Of permutation tests.
    """

    values: dict[str, Floats]
    intervals: dict[str, Interval]
    controls: tuple[str, ...]
    better: Literal["higher", "lower"]
    seed: int = 0

    @property
    def columns(self) -> tuple[list[str], list[float], list[float], list[float]]:
        """Names, means and ends of intervals, as ``plots.plot_intervals(*columns)`` takes them."""
        found = self.intervals.values()
        ends = ([getattr(one, end) for one in found] for end in ("value", "low", "high"))
        return list(self.intervals), *ends

    @property
    def best_control(self) -> str:
        """The control that does best, which is the one to beat."""
        pick = max if self.better == "higher" else min
        return pick(self.controls, key=lambda name: self.intervals[name].value)

    def difference(self, name: str, other: str | None = None) -> PermutationTest:
        """Test one method against another, image by image; by default against the best control.

        Parameters
        ----------
        name, other : str

        Returns
        -------
        PermutationTest
            Two-sided; ``difference`` is name - other.
        """
        other = self.best_control if other is None else other
        return permutation_test(self.values[name], self.values[other], seed=self.seed)

    def __str__(self) -> str:
        lines = []
        for name, interval in self.intervals.items():
            test = None if name in self.controls else self.difference(name)
            against = f"   against {self.best_control}: {test}" if test else ""
            lines.append(f"{name:<24} {interval}{against}")
        return "\n".join(lines)


def compare_with_controls(
    measure: Callable[[Any], Any],
    maps: Mapping[str, Any],
    images: Tensor,
    *,
    better: Literal["higher", "lower"] = "higher",
    seed: int = 0,
) -> Comparison:
    """Measure several explanations, and maps that know no network, on the same images.

    Parameters
    ----------
    measure : callable
        From maps (N, C, H, W) to one number per image (N,), for example
        ``lambda maps: relevance_mass(maps, masks).share`` or
        ``lambda maps: deletion_curve(model, images, maps, target).area``.
    maps : mapping of method to maps
        Each as `measure` takes them.
    images : Tensor (N, C, H, W)
        What was explained: the edge detector looks at it.
    better : {"higher", "lower"}
        Which values of the measure are good; decides which control is the one to beat.
    seed : int
        Of the random maps, the bootstrap and the permutation tests.

    Returns
    -------
    Comparison
        Print it for a table; draw it with ``plots.plot_intervals(*comparison.columns,
        controls=comparison.controls, better=comparison.better, quantity=...)``.

    Raises
    ------
    ValueError
        If a method has a control's name, or the measure gives something else than one number per
        image.
    """
    one_of("better", better, ["higher", "lower"])
    if taken := CONTROLS.keys() & maps.keys():
        raise ValueError(f"{taken} are names of controls: call the maps something else")
    everything = dict(maps) | {name: make(images, seed) for name, make in CONTROLS.items()}
    values = {name: to_numpy(measure(one)).astype(np.float64) for name, one in everything.items()}
    for name, row in values.items():
        if row.shape != (len(images),):
            raise ValueError(f"measure: {row.shape} for {name!r}, not a number each; take .share?")
    intervals = {name: bootstrap_interval(row, seed=seed) for name, row in values.items()}
    return Comparison(values, intervals, tuple(CONTROLS), better, seed)
