"""The checks at the border: pictures, targets and models that are passed in, and what they give."""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

Result = TypeVar("Result")
#: What can be explained: images (N, C, H, W) in, one score per class (N, classes) out.
Forward = Callable[[Tensor], Tensor]
#: One class for all images, or one per image.
Target = int | Sequence[int] | Tensor
#: One number, one image for all, or one image per input. None stands for zeros.
Baselines = float | Tensor | None


def check_model(model: Forward, inputs: Tensor) -> None:
    """Raise unless `model` is in evaluation mode and fits the device and type of `inputs`.

    Functions are taken as they are; only modules can be looked into.

    Raises
    ------
    TypeError
        If `model` cannot be called.
    ValueError
        If it is in training mode, or lives on another device or in another floating-point type.
    """
    if not callable(model):
        raise TypeError(
            f"model must be a torch.nn.Module or a function from images to class scores, got "
            f"{type(model).__name__}. For a Network, pass its .model."
        )
    if not isinstance(model, nn.Module):
        return
    if model.training or any(
        module.training and isinstance(module, _BatchNorm | _DropoutNd)
        for module in model.modules()
    ):
        raise ValueError(
            "model is in training mode, where dropout and batch norm make each call give another "
            "answer. Call model.eval() first."
        )
    parameter = next((p for p in model.parameters() if p.is_floating_point()), None)
    if parameter is None:
        return
    if parameter.device != inputs.device:
        raise ValueError(
            f"the model is on {parameter.device}, the images are on {inputs.device}. Move the "
            f"images with inputs.to({str(parameter.device)!r})."
        )
    if parameter.dtype != inputs.dtype:
        raise ValueError(
            f"the model computes in {parameter.dtype}, the images are {inputs.dtype}. Convert the "
            f"images with inputs.to({parameter.dtype})."
        )


def check_images(images: Tensor, name: str = "inputs") -> Tensor:
    """Return `images` without history, or raise unless they are finite floats (N, C, H, W).

    Raises
    ------
    TypeError
        If it is no tensor, or not of a floating-point type.
    ValueError
        If it is not four-dimensional, is empty, or holds NaN or infinity.
    """
    if not isinstance(images, Tensor):
        raise TypeError(f"{name} must be a tensor (N, C, H, W), got {type(images).__name__}.")
    if not images.is_floating_point():
        raise TypeError(
            f"{name} must be floating point, because integers have no gradient; got "
            f"{images.dtype}. Convert and normalise the images first."
        )
    if images.ndim == 3:
        raise ValueError(
            f"{name} must have four dimensions (N, C, H, W), got one image {tuple(images.shape)}. "
            f"Add the batch dimension with {name}[None]."
        )
    if images.ndim != 4 or images.numel() == 0:
        raise ValueError(
            f"{name} must be a batch of at least one image (N, C, H, W), got shape "
            f"{tuple(images.shape)}."
        )
    finite = torch.isfinite(images)
    if not finite.all():
        bad = int((~finite).sum())
        raise ValueError(
            f"{name} hold {bad} values that are NaN or infinite (of {images.numel()}). Look for a "
            "division by zero in the preprocessing."
        )
    images = images.detach()
    # tensors made under torch.inference_mode() cannot take part in a graph; a copy can
    return images.clone() if images.is_inference() else images


def expand_baselines(baselines: Baselines, inputs: Tensor) -> Tensor:
    """Return the baselines as a tensor (1, C, H, W), shared by all inputs, or (N, C, H, W).

    Raises
    ------
    TypeError
        If it is neither None nor a number nor a tensor.
    ValueError
        If its shape does not fit the inputs.
    """
    if baselines is None:
        baselines = 0.0
    if isinstance(baselines, int | float):
        filled = torch.full_like(inputs[:1], float(baselines))
        return check_images(filled, "baselines")
    if not isinstance(baselines, Tensor):
        raise TypeError(
            f"baselines must be None (zeros), a number or a tensor, got {type(baselines).__name__}."
        )
    if baselines.shape not in {inputs.shape, inputs[:1].shape}:
        one = tuple(inputs[:1].shape)
        allowed = f"{one}" if len(inputs) == 1 else f"{one} or {tuple(inputs.shape)}"
        raise ValueError(
            f"baselines must have shape {allowed} to fit the inputs, got {tuple(baselines.shape)}."
            + (" Add the batch dimension with baselines[None]." if baselines.ndim == 3 else "")
        )
    return check_images(baselines.to(inputs), "baselines")


def check_outputs(outputs: object, n_images: int) -> Tensor:
    """Return the model's outputs, or raise unless they are class scores (N, classes).

    Raises
    ------
    ValueError
        If they are anything else.
    """
    if isinstance(outputs, Tensor) and outputs.ndim == 2 and len(outputs) == n_images:
        return outputs
    shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
    raise ValueError(
        f"the model must return one score per class, shape ({n_images}, classes) for {n_images} "
        f"images; it returned {shape}. Wrap it in a function that returns the scores."
    )


def check_targets(target: Target, n_images: int, n_classes: int, device: torch.device) -> Tensor:
    """Return the class of every image as integers (N,), or raise.

    Raises
    ------
    TypeError
        If a target is not an integer.
    ValueError
        If there are neither one nor N of them.
    IndexError
        If one is not in 0 .. n_classes - 1.
    """
    entries = target.tolist() if isinstance(target, Tensor) else target
    entries = list(entries) if isinstance(entries, Sequence) else [entries]
    try:
        classes = [operator.index(entry) for entry in entries]
    except TypeError:
        raise TypeError(
            f"target must be a class index or one per image, got {target!r}. "
            "network.top_k(images) gives the indices of the predicted classes."
        ) from None
    if len(classes) not in {1, n_images}:
        raise ValueError(
            f"target must be one class, or one for each of the {n_images} images; got "
            f"{len(classes)} classes."
        )
    for entry in classes:
        if not 0 <= entry < n_classes:
            raise IndexError(
                f"target {entry} is out of range: the model has {n_classes} outputs, so targets go "
                f"from 0 to {n_classes - 1}."
            )
    return torch.tensor(classes, device=device).expand(n_images)


def in_fastest_layout(
    run: Callable[[Tensor], Result], images: Tensor, fast: bool = True
) -> tuple[Result, torch.memory_format]:
    """Return ``run(images)`` and the memory layout of the images that it ran with.

    On a CPU convolutions are faster channels-last. But a network that calls ``x.view`` on
    activations stops with a RuntimeError then, and needs its images contiguous.
    """
    if fast and images.device.type == "cpu":
        with contextlib.suppress(RuntimeError):
            layout = torch.channels_last
            return run(images.contiguous(memory_format=layout)), layout
    return run(images.contiguous()), torch.contiguous_format


def check_chunk_size(chunk_size: int | None) -> None:
    """Raise ValueError unless it is None (choose) or a whole number of at least 1."""
    if chunk_size is None:
        return
    if isinstance(chunk_size, bool) or not isinstance(chunk_size, int) or chunk_size < 1:
        raise ValueError(f"chunk_size must be a whole number of at least 1, got {chunk_size!r}.")


def default_chunk_size(images: Tensor) -> int:
    """Images per pass where little is stored: 8 of 224 x 224 on a CPU, more of smaller ones."""
    on_gpu = images.device.type in {"cuda", "mps"}
    return max(1, (32 if on_gpu else 8) * 224**2 // (images.shape[-1] * images.shape[-2]))
