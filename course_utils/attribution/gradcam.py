"""Grad-CAM at any layer, with the graph cut at that layer."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import checks
from .guard import guarded, target_gradients


@guarded
def grad_cam(
    model: nn.Module,
    inputs: Tensor,
    target: checks.Target,
    layer: nn.Module | str,
    *,
    relu: bool = True,
    upsample: bool = True,
    chunk_size: int | None = None,
) -> Tensor:
    r"""Grad-CAM: feature maps of a layer, weighted by how much each one raises the target's score.

    .. math:: L = \mathrm{ReLU}\Big(\sum_k w_k A^k\Big), \qquad
              w_k = \frac{1}{HW} \sum_{ij} \frac{\partial f}{\partial A^k_{ij}}

    Selvaraju et al.: Grad-CAM, ICCV 2017, equations 1 and 2. The results are those of Captum's
    ``LayerGradCam`` and ``LayerAttribution.interpolate(..., "bilinear")`` up to rounding. Nothing
    before the layer is differentiated: the forward pass up to it stores no activations. On a CPU
    images are laid out channels-last, as long as the network can take that.

    Parameters
    ----------
    model : torch.nn.Module
        From images (N, C, H, W) to class scores (N, classes), in evaluation mode. Neither it nor
        its parameters are changed.
    inputs : Tensor (N, C, H, W)
        Images as the model expects them (normalised).
    target : int, sequence of int, or Tensor (N,)
        Class to explain, one for all images or one for each.
    layer : torch.nn.Module or str
        One of the model's modules, or its dotted name. Its output is (N, K, H', W'); or
        (N, H', W', K) as in Swin, which is told by the picture's ratio of height to width; or
        tokens (N, H' * W', K) as in vision transformers, with or without a class token before
        them (take a block before the last, whose tokens of places the class no longer reads).
    relu : bool
        Keep only what speaks for the class, as the paper does; False keeps the sign.
    upsample : bool
        Scale the maps to the size of the images (bilinear); False returns them as they are.
    chunk_size : int, optional
        Images per pass; by default 5 of 224 x 224 on a CPU, more
        of smaller ones or on a GPU.

    Returns
    -------
    Tensor (N, 1, H, W), or (N, 1, H', W') without `upsample`
        In the type and on the device of `inputs`, non-negative with `relu`, not rescaled.

    Raises
    ------
    TypeError, ValueError, IndexError
        As for `integrated_gradients`; TypeError also for a function, which has no layers, and
        ValueError for a layer that is not in the model, is called not once but never or repeatedly,
        or returns something else.
    """
    inputs = checks.check_images(inputs)
    checks.check_model(model, inputs)
    layer = _find_layer(model, layer)
    size = chunk_size or checks.default_chunk_size(inputs)

    def signed_maps(images: Tensor) -> Tensor:
        parts = []
        for chosen in torch.arange(len(images)).split(size):
            features, outputs = _run_cut_at(layer, model, images[chosen])
            targets = checks.check_targets(target, len(images), outputs.shape[1], images.device)
            _, gradients = target_gradients(outputs, targets[chosen], features)
            weights = _as_maps(gradients, images).mean((2, 3), keepdim=True)
            parts.append((weights * _as_maps(features.detach(), images)).sum(1, keepdim=True))
        return torch.cat(parts)

    result, _ = checks.in_fastest_layout(signed_maps, inputs)
    result = F.relu(result) if relu else result
    if not upsample:
        return result
    return F.interpolate(result, inputs.shape[-2:], mode="bilinear", align_corners=False)


def _run_cut_at(layer: nn.Module, model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Compute without a graph up to the layer's output, which becomes the graph's leaf."""
    cuts: list[Tensor] = []

    def cut(_layer: nn.Module, _inputs: Any, output: Any) -> Tensor:
        if not isinstance(output, Tensor):
            raise _unfit(type(output).__name__)
        cuts.append(output.detach().requires_grad_())
        torch.set_grad_enabled(True)
        return cuts[-1].clone()  # an in-place ReLU may follow, and must not change the leaf

    handle = layer.register_forward_hook(cut)
    try:
        with torch.no_grad():  # restores the grad mode, however it ends
            outputs = checks.scores_of(model, images)
    finally:
        handle.remove()
    if len(cuts) != 1:
        raise ValueError(f"the layer must be called once for a batch, it was {len(cuts)} times")
    return cuts[0], outputs


def _as_maps(features: Tensor, images: Tensor) -> Tensor:
    """Bring a layer's output to (N, K, H', W')."""
    height, width = images.shape[2:]
    if features.ndim == 3:
        for first in (0, 1):  # a token for each place, or a class token before them
            n_places = features.shape[1] - first
            rows = round((n_places * height / width) ** 0.5)
            if n_places == rows * round(rows * width / height) > 1:
                return features[:, first:].transpose(1, 2).unflatten(2, (rows, -1))
    if features.ndim != 4:
        raise _unfit(tuple(features.shape))
    first, second, third = features.shape[1:]
    if abs(first * width - second * height) < abs(second * width - third * height):
        return features.permute(0, 3, 1, 2)
    return features


def _unfit(returned: Any) -> ValueError:
    wanted = "maps (N, K, H, W) or (N, H, W, K), or a token for each place (N, H * W, K)"
    advice = "choose a convolution or a norm, before places are flattened or pooled away"
    return ValueError(f"the layer must return feature {wanted}, not {returned}: {advice}")


def _find_layer(model: nn.Module, layer: nn.Module | str) -> nn.Module:
    if not isinstance(model, nn.Module):
        got = type(model).__name__
        raise TypeError(f"Grad-CAM looks into a layer: model must be a torch.nn.Module, got {got}")
    modules = dict(model.named_modules())
    if isinstance(layer, nn.Module) and any(layer is module for module in modules.values()):
        return layer
    return modules[checks.one_of("layer", layer, modules)]
