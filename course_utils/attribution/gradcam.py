"""Grad-CAM at any layer, with the graph cut at that layer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import runtime
from ..checks import (
    Target,
    check_chunk_size,
    check_images,
    check_model,
    check_outputs,
    check_targets,
    default_chunk_size,
    in_fastest_layout,
)


@torch.inference_mode(False)
def grad_cam(
    model: nn.Module,
    inputs: Tensor,
    target: Target,
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
        One of the model's modules, or its dotted name, whose output is (N, K, H', W').
    relu : bool
        Keep only what speaks for the class, as the paper does; False keeps the sign.
    upsample : bool
        Scale the maps to the size of the images (bilinear); False returns them as they are.
    chunk_size : int, optional
        Images per pass; by default 8 of 224 x 224 on a CPU, more
        of smaller ones or on a GPU.

    Returns
    -------
    Tensor (N, 1, H, W), or (N, 1, H', W') without `upsample`
        In the type and on the device of `inputs`, non-negative with `relu`, not rescaled.

    Raises
    ------
    TypeError, ValueError, IndexError
        As for `integrated_gradients`; ValueError also for a layer that is not in the model, is
        called not once but never or repeatedly, or does not return (N, K, H', W').
    """
    runtime.tune_allocator()
    inputs = check_images(inputs)
    check_model(model, inputs)
    layer = _find_layer(model, layer)
    check_chunk_size(chunk_size)
    size = chunk_size or default_chunk_size(inputs)
    result, _ = in_fastest_layout(lambda images: _maps(model, images, target, layer, size), inputs)
    result = F.relu(result) if relu else result
    if not upsample:
        return result
    return F.interpolate(result, inputs.shape[-2:], mode="bilinear", align_corners=False)


def _maps(model: nn.Module, inputs: Tensor, target: Target, layer: nn.Module, size: int) -> Tensor:
    """Compute the signed maps (N, 1, H', W') of all images, `size` at a time."""
    maps = []
    for start in range(0, len(inputs), size):
        images = inputs[start : start + size]
        with _cut_at(layer) as cuts:
            outputs = check_outputs(model(images), len(images))
        targets = check_targets(target, len(inputs), outputs.shape[1], inputs.device)
        scores = outputs.gather(1, targets[start : start + size, None])
        maps.append(_weighted_maps(_only(cuts), scores))
    return torch.cat(maps)


def _weighted_maps(features: Tensor, scores: Tensor) -> Tensor:
    if not scores.requires_grad:
        raise ValueError(
            "the scores do not depend on this layer in a differentiable way: look for "
            "torch.no_grad() or detach() after it."
        )
    (gradients,) = torch.autograd.grad(scores.sum(), features)
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    return (weights * features.detach()).sum(dim=1, keepdim=True)


@contextlib.contextmanager
def _cut_at(layer: nn.Module) -> Iterator[list[Tensor]]:
    """Compute without a graph up to the layer's output, which becomes the graph's leaf."""
    cuts: list[Tensor] = []

    def cut(_layer: nn.Module, _inputs: object, output: object) -> Tensor:
        if not isinstance(output, Tensor) or output.ndim != 4:
            shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ValueError(
                f"Grad-CAM needs a layer that returns feature maps (N, K, H, W); this one "
                f"returned {shape}. Choose a convolutional layer."
            )
        leaf = output.detach().requires_grad_()
        cuts.append(leaf)
        torch.set_grad_enabled(True)
        return leaf.clone()  # an in-place ReLU may follow, and must not change the leaf

    handle = layer.register_forward_hook(cut)
    try:
        with torch.no_grad():  # restores the caller's grad mode, however it ends
            yield cuts
    finally:
        handle.remove()


def _only(cuts: list[Tensor]) -> Tensor:
    if len(cuts) != 1:
        raise ValueError(
            f"the model called this layer {len(cuts)} times for one batch; Grad-CAM needs a layer "
            "that is called exactly once."
        )
    return cuts[0]


def _find_layer(model: nn.Module, layer: nn.Module | str) -> nn.Module:
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module with layers, got {type(model).__name__}.")
    if isinstance(layer, str):
        try:
            return model.get_submodule(layer)
        except AttributeError:
            names = [name for name, _ in model.named_modules() if name]
            raise ValueError(
                f"the model has no layer {layer!r}. Its layers: {', '.join(names[:40])}"
                + (", …" if len(names) > 40 else "")
            ) from None
    if not isinstance(layer, nn.Module) or all(layer is not module for module in model.modules()):
        raise ValueError(
            f"layer must be one of the model's own modules or the name of one, got "
            f"{type(layer).__name__}."
        )
    return layer
