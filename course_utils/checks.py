"""The checks at the border: pictures, targets and models that are passed in, and what they give."""

from __future__ import annotations

import contextlib
import difflib
import numbers
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import is_
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd
from torch.overrides import TorchFunctionMode

Result = TypeVar("Result")
#: Called before a method of `attribution` runs. An exercise that asks to write one sets this.
refuse_methods: Callable[[], None] | None = None
#: Layers whose answers are random while they train; the last two are torchvision's and timm's.
_RANDOM = (_NormBase, _DropoutNd, nn.RReLU, nn.MultiheadAttention)
_RANDOM_NAMES = ("StochasticDepth", "DropPath")
#: Types with enough digits for differences and sums of gradients.
PRECISE = (torch.float32, torch.float64)
_IN_FLOAT32 = "too coarse: compute in float32, model.float(), without autocast in its forward pass"
_WRAPPER = """Wrap it in a module that returns the scores, and explain that one:
    class Scores(torch.nn.Sequential):
        def forward(self, images):
            return super().forward(images).logits  # or [0], or ["logits"], or [:, None]
    scores = Scores(model).eval()"""
#: What can be explained: images (N, C, H, W) in, one score per class (N, classes) out.
Forward = Callable[[Tensor], Tensor]
#: One class for all images, or one per image.
Target = int | Sequence[int] | NDArray[np.integer] | Tensor
#: One number, one image for all, or one image per input. None stands for zeros.
Baselines = float | Tensor | None


def closest(value: Any, choices: Iterable[Any]) -> list[str]:
    """Return up to six of the choices that hold a value or are like it."""

    def plain(name: Any) -> str:
        return str(name).lower().replace("_", " ").replace("-", " ").strip()

    wanted, names = plain(value), {plain(choice): str(choice) for choice in choices}
    close = [name for name in names if wanted and wanted in name]
    close += difflib.get_close_matches(wanted, names)
    return [names[name] for name in dict.fromkeys(close)][:6]


def one_of(name: str, value: Any, allowed: Iterable[Any]) -> Any:
    """Return `value`, or raise ValueError, which offers close ones, unless it is allowed."""
    choices = list(allowed)
    if value in choices:
        return value
    among = ", ".join(filter(None, map(str, choices[:40]))) + ", …" * (len(choices) > 40)
    near = " or ".join(map(repr, closest(value, choices)))
    hint = f"did you mean {near}?" if near else f"choose one of {among}"
    raise ValueError(f"{name}={value!r} is unknown: {hint}")


def to_numpy(values: Any) -> NDArray:
    """Return an array on the CPU.

    Parameters
    ----------
    values : Tensor, array, number, sequence of these, or result with ``attributions``
        Tensors may be on any device, of any type, with or without gradient.

    Returns
    -------
    ndarray
        It may share its memory with `values`. Types that NumPy lacks (bfloat16) become float32.
    """
    values = getattr(values, "attributions", values)
    if isinstance(values, list | tuple):
        values = [to_numpy(value) if isinstance(value, Tensor) else value for value in values]
    if not isinstance(values, Tensor):
        return np.asarray(values)
    return (values.float() if values.dtype == torch.bfloat16 else values).numpy(force=True)


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
        raise TypeError(f"model must be a module or a function (its .model?), not {type(model)}")
    if not isinstance(model, nn.Module):
        return
    training = [module for module in model.modules() if module.training]
    if model.training or any(
        isinstance(m, _RANDOM) or type(m).__name__ in _RANDOM_NAMES for m in training
    ):
        raise ValueError("model is in training mode, and its answers random: call model.eval()")
    first = next((p for p in model.parameters() if p.is_floating_point()), inputs)
    has, given = (first.dtype, first.device), (inputs.dtype, inputs.device)
    if has != given:
        advice = f"inputs.to({str(first.device)!r}), and model.float(), inputs.float()"
        raise ValueError(f"the model has {has}, the images have {given} (type, device): {advice}")


def check_images(images: Tensor, name: str = "inputs") -> Tensor:
    """Return `images` without history, or raise unless they are finite floats (N, C, H, W).

    Raises
    ------
    TypeError
        If it is no tensor, or not of type float32 or float64: half precision has too few digits
        for differences and sums of gradients.
    ValueError
        If it is not four-dimensional, is empty, or holds NaN or infinity.
    """
    if not isinstance(images, Tensor):
        raise TypeError(f"{name} must be a tensor (N, C, H, W), got {type(images).__name__}.")
    if images.dtype not in PRECISE:
        given = f"not {images.dtype}: model.float(), images.float()"
        raise TypeError(f"{name} must be normalised floats, float32 or float64, {given}")
    if images.ndim != 4 or images.numel() == 0:
        advice = f"; add the batch dimension with {name}[None]" if images.ndim == 3 else ""
        given = f"{tuple(images.shape)}{advice}"
        raise ValueError(f"{name} must be images (N, C, H, W), one or more, got {given}")
    if bad := int((~torch.isfinite(images)).sum()):
        raise ValueError(f"{name} hold {bad} values that are NaN or infinite; a division by zero?")
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
    if baselines is None or isinstance(baselines, numbers.Real):
        return check_images(torch.full_like(inputs[:1], float(baselines or 0)), "baselines")
    if not isinstance(baselines, Tensor):
        raise TypeError(f"baselines must be None (zeros), a number or a tensor: {type(baselines)}")
    if baselines.shape not in {inputs.shape, inputs[:1].shape}:
        shapes = f"the inputs', {tuple(inputs.shape)}, or one image's: {tuple(baselines.shape)}"
        advice = "; add the batch dimension with baselines[None]" if baselines.ndim == 3 else ""
        raise ValueError(f"baselines must have the shape of {shapes}{advice}")
    return check_images(baselines.to(inputs), "baselines")


@contextlib.contextmanager
def acting(mode: TorchFunctionMode) -> Iterator[None]:
    """Let a mode see every function of PyTorch that the block calls.

    PyTorch takes a mode off its stack while it acts, and an interrupt then loses it. Leaving the
    mode would fail at that; here the stack is put back as it was.
    """
    depth = torch._C._len_torch_function_stack()
    before = [torch._C._get_function_stack_at(place) for place in range(depth)]
    try:
        torch._C._push_on_torch_function_stack(mode)
        yield
    finally:
        while torch._C._len_torch_function_stack():
            torch._C._pop_torch_function_stack()
        for outer in before:
            torch._C._push_on_torch_function_stack(outer)


class FullPrecision(TorchFunctionMode):
    """In ``acting(FullPrecision())``, a function that returns half precision is an error."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and result.dtype in (torch.float16, torch.bfloat16):
            raise TypeError(f"the model computes in {result.dtype}, {_IN_FLOAT32}")
        return result


def scores_of(model: Forward, images: Tensor) -> Tensor:
    """Run a model, and return its class scores (N, classes), or raise as `check_outputs`.

    It gets a copy, which it may change in place. A model that turns autocast on in its own forward
    pass is refused.
    """
    with acting(FullPrecision()):
        return check_finite(check_outputs(model(images.clone()), len(images)))


@torch.no_grad()
def all_scores(model: Forward, images: Tensor) -> Tensor:
    """Return the class scores (N, classes) of checked images, chunk by chunk, without a graph."""
    check_model(model, images)
    with unchanged(model):
        parts = images.split(default_chunk_size(images))
        return torch.cat([scores_of(model, part) for part in parts])


def check_finite(outputs: Tensor) -> Tensor:
    """Return a model's outputs, or raise ValueError where they hold NaN or infinity."""
    if not outputs.isfinite().all():
        raise ValueError("the model's outputs are not finite: did its training diverge?")
    return outputs


def check_outputs(outputs: Any, n_images: int) -> Tensor:
    """Return the model's outputs, or raise unless they are class scores (N, classes).

    Raises
    ------
    TypeError
        If they are no tensor, or in half precision.
    ValueError
        If their shape is another.
    """
    is_tensor = isinstance(outputs, Tensor)
    if not is_tensor or outputs.ndim != 2 or len(outputs) != n_images:
        got = tuple(outputs.shape) if is_tensor else type(outputs).__name__
        message = f"the model must return one score per class, ({n_images}, classes), not {got}. "
        raise (ValueError if is_tensor else TypeError)(message + _WRAPPER)
    if outputs.dtype not in PRECISE:
        raise TypeError(f"the model returned {outputs.dtype}, {_IN_FLOAT32}")
    return outputs


def check_targets(target: Target, n_images: int, n_classes: int, device: torch.device) -> Tensor:
    """Return the class of every image as integers (N,), or raise.

    Parameters
    ----------
    target : int, or sequence, array or tensor of integers, (N,) or (N, 1)
        One class for all images or one for each.

    Raises
    ------
    TypeError
        If a target is not an integer.
    ValueError
        If there are neither one nor N of them.
    IndexError
        If one is not in 0 .. n_classes - 1.
    """
    try:
        classes = to_numpy(target)
    except ValueError:  # lists of unequal lengths
        classes = np.asarray(None)
    if classes.dtype.kind not in "iu":
        raise TypeError(f"target must be a class index, or one per image, got {target!r}")
    if classes.size not in {1, n_images} or classes.size != max(classes.shape, default=1):
        advice = f"of shape {classes.shape}; one-hot targets: target.argmax(1)"
        raise ValueError(f"target must be one class, or one per image ({n_images}), not {advice}")
    classes = classes.reshape(-1)
    if (wrong := classes[(classes < 0) | (classes >= n_classes)]).size:
        raise IndexError(
            f"target {wrong[0]} is out of range of {n_classes} outputs, 0 to {n_classes - 1}"
        )
    return torch.tensor(classes.astype(np.int64), device=device).expand(n_images)


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


def default_chunk_size(images: Tensor) -> int:
    """Images per pass where little is stored: 8 of 224 x 224 on a CPU, more of smaller ones."""
    return _as_many_pixels(images, 32 if images.device.type in {"cuda", "mps"} else 8)


def gradient_chunk_size(images: Tensor) -> int:
    """Images per pass where all activations are stored: 5 of 224 x 224 on a CPU, 64 at most."""
    if images.device.type == "cpu":
        return min(64, _as_many_pixels(images, 5))  # more gain nothing, and take longer to begin
    return min(256, default_chunk_size(images))


def _as_many_pixels(images: Tensor, count: int) -> int:
    return max(1, count * 224**2 // (images.shape[-1] * images.shape[-2]))


def surely(step: Callable[[], Any]) -> None:
    """Take a step that must not stay half done: interrupted, it begins again, and then stops."""
    try:
        step()
    except KeyboardInterrupt:
        step()
        raise


@contextlib.contextmanager
def unchanged(model: Forward) -> Iterator[None]:
    """Leave a model and PyTorch's random state as they were, however the block ends.

    Attributes, hooks, modes and buffers of every submodule are put back where a forward pass (or a
    hook) wrote to them, and so are ``requires_grad`` and ``grad`` of parameters. The parameters'
    values are not copied: nothing here writes to them. Functions cannot be looked into.
    """
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    dicts, lists, tensors = [], [], []
    for table in map(vars, modules):
        dicts.append((table, dict(table)))
        for value in [*table.values(), *table.get("_buffers", {}).values()]:
            if isinstance(value, dict):
                dicts.append((value, dict(value) if value else {}))  # most are empty
            elif isinstance(value, list):
                lists.append((value, list(value)))
            elif isinstance(value, Tensor) and not value.is_inference():
                tensors.append((value, value._version, value.detach().clone()))
    parameters = [(p, p.requires_grad, p.grad) for m in modules[:1] for p in m.parameters()]

    def restore() -> None:  # only what differs: other threads may use the model
        for now, before in dicts:
            if not now and not before:
                continue
            if now.keys() == before.keys() and all(map(is_, now.values(), before.values())):
                continue
            for name in [name for name in now if name not in before]:
                del now[name]
            now.update({k: v for k, v in before.items() if k not in now or now[k] is not v})
        for now, before in lists:
            now[:] = before
        for tensor, version, before in tensors:
            if tensor._version != version:
                tensor.detach().copy_(before)
        for parameter, requires_grad, gradient in parameters:
            parameter.requires_grad_(requires_grad).grad = gradient

    try:
        with torch.random.fork_rng(["cuda"] if torch.cuda.is_initialized() else []):
            yield
    finally:
        surely(restore)


def check_pixels(images: Tensor, name: str = "images", *, normalized: bool = True) -> Tensor:
    """Return pictures, or raise where their numbers are taken for others.

    Pictures are uint8, channels first, or floats: in [0, 1], or (with `normalized`) normalised.
    Features, of any other shape than (N, 1 or 3, H, W), are returned as they are.

    Raises
    ------
    TypeError
        If pictures are of another integer type than uint8.
    ValueError
        If they are bytes with the channels last, floats in another range, or not finite.
    """
    if images.dtype == torch.uint8 and images.ndim == 4 and images.shape[1] not in (1, 3):
        advice = f"channels that come last are moved by {name}.permute(0, 3, 1, 2)"
        raise ValueError(f"{name} must be (N, 3, H, W), got {tuple(images.shape)}; {advice}")
    if images.ndim != 4 or images.shape[1] not in (1, 3) or images.dtype == torch.uint8:
        return images
    if not images.is_floating_point():
        raise TypeError(f"{name} must be uint8 or floats, got {images.dtype}: .to(torch.uint8)")
    low, high = images.aminmax() if images.numel() else (0, 0)
    # normalised pictures stay below 3
    if not (high <= 10 if normalized else low >= -0.01 and high <= 1.01):
        wanted = "in [0, 1] (or normalised)" if normalized else "in [0, 1], not normalised yet"
        given = f"{name} go from {low:.3g} to {high:.3g}"
        raise ValueError(f"{given}: pass bytes as uint8, or finite floats {wanted}")
    return images
