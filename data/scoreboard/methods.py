"""The methods of the scoreboard: each from a task to one signed map per picture.

A method of your own joins both tables like this::

    from scoreboard import method

    @method("gradient squared", "gradients")
    def gradient_squared(task):
        return task.gradient(task.images).pow(2).sum(1)

`Task` holds what a method may use. What is returned is (N, H, W); a map that claims amounts is
scaled so that its sum over a part is what the part is worth.
"""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from captum.attr import LRP, GuidedBackprop, KernelShap, Lime, Occlusion
from captum.attr._utils.lrp_rules import EpsilonRule, GammaRule
from skimage.segmentation import slic
from torch import Tensor, nn

import course_utils as cu

Kind = Literal["gradients", "path", "rules", "grid", "perturbation", "control"]
#: Steps of paths; noisy copies, their noise; samples of LIME and KernelSHAP; masks of RISE.
STEPS, NOISY, NOISE, SAMPLES, MASKS = 24, 16, 0.4, 120, 240


@dataclass(frozen=True)
class Task:
    """Pictures to explain, and the network that looks at them.

    Attributes
    ----------
    model : nn.Module
        From pictures to the differences of all pairs of logits (N, K * K), see `Differences`.
    images : Tensor (N, 3, H, W)
        Normalised so that 0 is the family's grey.
    target : Tensor (N,)
        Which difference: the class against its rival.
    pictures : ndarray (N, H, W, 3)
        The same as bytes.
    layer : nn.Module
        The last maps before they are averaged over places.
    black, white : float Tensor (3, 1, 1)
        These colours, normalised.
    lrp : bool
        Whether the network is made of layers for which LRP has rules.
    """

    model: nn.Module
    images: Tensor
    target: Tensor
    pictures: np.ndarray
    layer: nn.Module
    black: Tensor
    white: Tensor
    lrp: bool = True

    def __len__(self) -> int:
        return len(self.images)

    def part(self, chosen: Any) -> Task:
        """Return the task with some of its pictures."""
        rows = {name: getattr(self, name)[chosen] for name in ("images", "target", "pictures")}
        return dataclasses.replace(self, **rows)

    def score(self, images: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the explained score of each picture (N,)."""
        target = self.target if target is None else target
        return self.model(images).gather(1, target[:, None])[:, 0]

    def gradient(self, images: Tensor) -> Tensor:
        """Return the gradient of the explained score, (N, 3, H, W)."""
        images = images.detach().requires_grad_(True)
        return torch.autograd.grad(self.score(images).sum(), images)[0]

    def layer_gradient(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return activations and gradients of `layer`, (N, C, h, w) each."""
        kept: list[Tensor] = []
        hook = self.layer.register_forward_hook(lambda _, __, output: kept.append(output))
        try:
            score = self.score(images.detach().requires_grad_(True))
        finally:
            hook.remove()
        return kept[0].detach(), torch.autograd.grad(score.sum(), kept[0])[0]

    def enlarged(self, coarse: Tensor) -> Tensor:
        """Enlarge maps (N, h, w) to the pictures' size, bilinearly."""
        size = self.images.shape[-2:]
        return F.interpolate(coarse[:, None], size, mode="bilinear", align_corners=False)[:, 0]

    @functools.cached_property
    def segments(self) -> Tensor:
        """About 40 superpixels of each picture, (N, H, W) numbered from 0."""
        return torch.from_numpy(np.stack([_superpixels(one) for one in self.pictures]))

    def blurred(self, sigma: float = 6.0) -> Tensor:
        """Return the pictures out of focus."""
        reach = round(3 * sigma)
        steps = torch.arange(-reach, reach + 1.0)
        kernel = torch.exp(-(steps**2) / (2 * sigma**2))
        kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
        soft = F.pad(self.images, (reach,) * 4, mode="replicate")
        return F.conv2d(F.conv2d(soft, kernel, groups=3), kernel.mT, groups=3)


def _superpixels(picture: np.ndarray) -> np.ndarray:
    return slic(picture, n_segments=40, compactness=12, start_label=0)


class Differences(nn.Module):
    """A network whose outputs are the differences of all pairs of its logits.

    Output ``i * K + j`` is logit i minus logit j. A single logit is arbitrary up to what is added
    to all of them; a difference is not. It is a linear layer, so every method passes through it.

    Parameters
    ----------
    network : nn.Module
        From pictures to logits (N, K).
    outputs : int
        K.
    """

    def __init__(self, network: nn.Module, outputs: int) -> None:
        super().__init__()
        self.network = network
        self.pairs = nn.Linear(outputs, outputs**2, bias=False)
        one = torch.eye(outputs)
        self.pairs.weight.data = (one[:, None] - one[None]).reshape(outputs**2, outputs)
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) to differences (N, K * K)."""
        return self.pairs(self.network(images))


@dataclass(frozen=True)
class Method:
    """A method: name, kind, function, and how its maps are usually shown.

    Attributes
    ----------
    name : str
    kind : str
        Family of methods.
    function : callable
        From a `Task` to maps (N, H, W).
    usual : {"signed", "absolute"}
        How its maps are usually shown; the scoreboard's tables and metrics take them so.
    """

    name: str
    kind: Kind
    function: Callable[[Task], Tensor]
    usual: Literal["signed", "absolute"] = "signed"

    def __call__(self, task: Task) -> np.ndarray:
        """Explain; float32 (N, H, W). NaN where the method is not defined for the network."""
        torch.manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            maps = self.function(task)
        return maps.detach().float().numpy()

    def shown(self, task: Task) -> np.ndarray:
        """Explain, and return maps as they are usually shown; float32 (N, H, W)."""
        maps = self(task)
        return np.abs(maps) if self.usual == "absolute" else maps


#: Name to method, in the order of their kinds.
METHODS: dict[str, Method] = {}


def method(name: str, kind: Kind, usual: Literal["signed", "absolute"] = "signed") -> Any:
    """Register a function from a task to maps (N, H, W) as a method."""

    def register(function: Callable[[Task], Tensor]) -> Callable[[Task], Tensor]:
        METHODS[name] = Method(name, kind, function, usual)
        return function

    return register


# ------------------------------------------------------------------------------- gradients


@method("saliency", "gradients", "absolute")
def saliency(task: Task) -> Tensor:
    """Gradient (Simonyan et al. 2014)."""
    return task.gradient(task.images).sum(1)


@method("gradient x input", "gradients")
def gradient_times_input(task: Task) -> Tensor:
    """Gradient times input (Shrikumar et al. 2016)."""
    return (task.gradient(task.images) * task.images).sum(1)


@method("SmoothGrad", "gradients", "absolute")
def smooth_grad(task: Task) -> Tensor:
    """Gradient, averaged over noisy inputs (Smilkov et al. 2017)."""
    return torch.stack([task.gradient(x) for x in _noisy(task)]).mean(0).sum(1)


@method("SmoothGrad x input", "gradients")
def smooth_grad_times_input(task: Task) -> Tensor:
    """Mean over noisy inputs of gradient times noisy input: NoiseTunnel around gradient x input."""
    return torch.stack([task.gradient(x) * x for x in _noisy(task)]).mean(0).sum(1)


def _noisy(task: Task) -> list[Tensor]:
    return [task.images + NOISE * torch.randn_like(task.images) for _ in range(NOISY)]


# ------------------------------------------------------------------------------- paths


def _integrated(
    task: Task, baseline: Tensor, images: Tensor | None = None, steps: int = STEPS
) -> Tensor:
    """Integrated gradients by the midpoint rule, (N, H, W)."""
    images = task.images if images is None else images
    baseline = baseline.expand_as(images)
    total = torch.zeros_like(images)
    for step in range(steps):
        total += task.gradient(baseline + (step + 0.5) / steps * (images - baseline))
    return ((images - baseline) * total / steps).sum(1)


@method("IG, grey", "path")
def ig_grey(task: Task) -> Tensor:
    """Integrated gradients from grey (Sundararajan et al. 2017)."""
    return _integrated(task, torch.zeros(1))


@method("IG, black", "path")
def ig_black(task: Task) -> Tensor:
    """Integrated gradients from black."""
    return _integrated(task, task.black)


@method("IG, blurred", "path")
def ig_blurred(task: Task) -> Tensor:
    """Integrated gradients from the picture out of focus."""
    return _integrated(task, task.blurred())


@method("IG, averaged", "path")
def ig_averaged(task: Task) -> Tensor:
    """Mean of integrated gradients from grey, black, white and blurred; half the steps each."""
    starts = (torch.zeros(1), task.black, task.white, task.blurred())
    return torch.stack([_integrated(task, one, steps=STEPS // 2) for one in starts]).mean(0)


@method("expected gradients", "path")
def expected_gradients(task: Task) -> Tensor:
    """Random points on paths from other pictures of the task (Erion et al. 2021)."""
    total = torch.zeros_like(task.images)
    for _ in range(STEPS):
        start = task.images[torch.randperm(len(task))]
        way = torch.rand(len(task), 1, 1, 1)
        total += (task.images - start) * task.gradient(start + way * (task.images - start))
    return (total / STEPS).sum(1)


@method("IG + SmoothGrad", "path")
def ig_smooth(task: Task) -> Tensor:
    """Integrated gradients from grey, averaged over noisy inputs; 8 times 8 gradients."""
    noisy = _noisy(task)[:8]
    return torch.stack([_integrated(task, torch.zeros(1), x, steps=8) for x in noisy]).mean(0)


# ------------------------------------------------------------------------------- rules


@method("DeepLift", "rules")
def deep_lift(task: Task) -> Tensor:
    """DeepLift, rescale rule, from grey; complete on every network (Shrikumar et al. 2017)."""
    return cu.deeplift(task.model, task.images, task.target).attributions.sum(1)


@method("LRP", "rules")
def lrp(task: Task) -> Tensor:
    """LRP, gamma rule in convolutions and epsilon rule in linear layers (Montavon et al. 2019)."""
    if not task.lrp:
        return torch.full((len(task), *task.images.shape[-2:]), torch.nan)
    leaves = [layer for layer in task.model.modules() if not list(layer.children())]
    for layer in leaves:
        if not isinstance(layer, nn.ReLU | nn.Dropout):
            layer.rule = GammaRule(0.25) if isinstance(layer, nn.Conv2d) else EpsilonRule()
    try:
        return LRP(task.model).attribute(task.images, target=task.target).sum(1)
    finally:
        for layer in leaves:
            layer.__dict__.pop("rule", None)


@method("guided backprop", "rules")
def guided_backprop(task: Task) -> Tensor:
    """Guided backpropagation (Springenberg et al. 2015); acts on nn.ReLU only."""
    return GuidedBackprop(task.model).attribute(task.images, target=task.target).sum(1)


# ------------------------------------------------------------------------------- grids


def _grad_cam(task: Task) -> Tensor:
    activation, gradient = task.layer_gradient(task.images)
    return (activation * gradient.mean((2, 3), keepdim=True)).sum(1)


@method("Grad-CAM", "grid")
def grad_cam(task: Task) -> Tensor:
    """Grad-CAM with its ReLU (Selvaraju et al. 2017)."""
    return task.enlarged(_grad_cam(task).relu())


@method("Grad-CAM, signed", "grid")
def grad_cam_signed(task: Task) -> Tensor:
    """Grad-CAM without its ReLU."""
    return task.enlarged(_grad_cam(task))


@method("LayerCAM", "grid")
def layer_cam(task: Task) -> Tensor:
    """Activations weighted by positive gradients, place by place (Jiang et al. 2021)."""
    activation, gradient = task.layer_gradient(task.images)
    return task.enlarged((activation * gradient.relu()).sum(1).relu())


@method("Guided Grad-CAM", "grid")
def guided_grad_cam(task: Task) -> Tensor:
    """Guided backpropagation times Grad-CAM (Selvaraju et al. 2017)."""
    return guided_backprop(task) * grad_cam(task)


# ------------------------------------------------------------------------------- perturbations


@method("occlusion", "perturbation")
def occlusion(task: Task) -> Tensor:
    """Grey squares of 9 pixels, 5 apart (Zeiler & Fergus 2014)."""
    return (
        Occlusion(task.model)
        .attribute(task.images, (3, 9, 9), (3, 5, 5), baselines=0.0, target=task.target)
        .sum(1)
    )


@method("LIME", "perturbation")
def lime(task: Task) -> Tensor:
    """LIME on superpixels (Ribeiro et al. 2016); Captum's kernel and Lasso."""
    return _on_superpixels(task, Lime)


@method("KernelSHAP", "perturbation")
def kernel_shap(task: Task) -> Tensor:
    """KernelSHAP on superpixels (Lundberg & Lee 2017)."""
    return _on_superpixels(task, KernelShap)


def _on_superpixels(task: Task, kind: Any) -> Tensor:
    """Spread the worth of each superpixel evenly over its pixels."""
    explainer, rows = kind(task.model), []
    for image, target, segments in zip(task.images, task.target, task.segments, strict=True):
        worth = explainer.attribute(
            image[None],
            baselines=0.0,
            target=int(target),
            feature_mask=segments[None, None],
            n_samples=SAMPLES,
            perturbations_per_eval=32,
        )
        rows.append(worth[0, 0] / segments.flatten().bincount()[segments])
    return torch.stack(rows)


@method("RISE", "perturbation")
def rise(task: Task) -> Tensor:
    """Covariance of the score with random soft masks (Petsiuk et al. 2018, without its offset).

    The paper adds up masks times scores; the mean score, which is in no place, is subtracted here.
    """
    height, width = task.images.shape[-2:]
    masks, scores = [], []
    for _ in range(MASKS):
        cells = (torch.rand(1, 1, 8, 8) < 0.5).float()
        large = F.interpolate(cells, scale_factor=height // 7, mode="bilinear")[0, 0]
        down, right = (int(torch.randint(0, len(large) - side + 1, ())) for side in (height, width))
        masks.append(large[down : down + height, right : right + width])
        with torch.no_grad():
            scores.append(task.score(task.images * masks[-1]))
    stacked, table = torch.stack(masks), torch.stack(scores, dim=1)
    table = table - table.mean(1, keepdim=True)
    return torch.einsum("nm,mhw->nhw", table, stacked - 0.5) / MASKS


# ------------------------------------------------------------------------------- controls


@method("random", "control")
def random(task: Task) -> Tensor:
    """Noise."""
    return cu.evaluation.random_maps(task.images)[:, 0] - 0.5


@method("edges", "control", "absolute")
def edges(task: Task) -> Tensor:
    """Sobel edge detector."""
    return cu.evaluation.edge_maps(task.images)[:, 0]


@method("centre blob", "control", "absolute")
def centre_blob(task: Task) -> Tensor:
    """Gaussian in the middle."""
    return cu.evaluation.controls.center_maps(task.images)[:, 0]


@method("area", "control", "absolute")
def area(task: Task) -> Tensor:
    """Give every pixel the same: a part's sum is its area."""
    return torch.ones(len(task), *task.images.shape[-2:])
