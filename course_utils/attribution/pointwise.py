"""Two more rewritings of a recorded network that keep its function and spare memory traffic.

On a CPU a network of the MobileNet family spends most of its time moving activations through
memory. A 1x1 convolution is a matrix product over the channels of each pixel, and as one it needs
neither a copy of the weights in another order at each pass nor a kernel compiled for each shape of
its input. And padding that is wider on one side than on the other, which ``nn.Conv2d`` cannot
express, need not be a step of its own: see `absorb_padding`.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn


def absorb_padding(recorded: fx.GraphModule) -> None:
    """Let depthwise convolutions do the zero padding before them; recompile `recorded` afterwards.

    Padding of 0 on the left and 1 on the right with a 3x3 kernel gives what padding of 1 on both
    sides gives with a 4x4 kernel whose first column is zero: both see the same pixels with the same
    weights. It spares a copy of the activations there and another one on the way back, which costs
    more than the larger kernel does where each channel is filtered by itself.
    """
    modules = dict(recorded.named_modules())
    for node in list(recorded.graph.nodes):
        pad = modules[node.target] if node.op == "call_module" else None
        if type(pad) is not nn.ZeroPad2d or not is_unpatched(pad) or len(node.users) != 1:
            continue
        (reader,) = node.users
        convolution = modules[reader.target] if reader.op == "call_module" else None
        left, right, top, bottom = pad.padding
        growing = 0 <= left <= right and 0 <= top <= bottom
        if growing and _is_plain(convolution) and _is_depthwise_without_padding(convolution):
            padded = _with_padding(convolution, pad.padding)
            recorded.set_submodule(reader.target, padded)
            node.replace_all_uses_with(node.args[0])
            recorded.graph.erase_node(node)


def use_matrix_products(recorded: fx.GraphModule) -> None:
    """Make 1x1 convolutions, with the ReLU or ReLU6 after them, products; recompile afterwards."""
    modules = dict(recorded.named_modules())
    for node in list(recorded.graph.nodes):
        convolution = modules[node.target] if node.op == "call_module" else None
        if not _is_plain(convolution) or not _is_pointwise(convolution):
            continue
        reader = next(iter(node.users)) if len(node.users) == 1 else None
        following = modules[reader.target] if reader and reader.op == "call_module" else None
        limit = _LIMITS.get(type(following)) if is_unpatched(following) else None
        if limit is not None:
            reader.replace_all_uses_with(node)
            recorded.graph.erase_node(reader)
        recorded.set_submodule(node.target, Pointwise(convolution, limit))


#: Activations that cut their input off at 0 and at this limit.
_LIMITS = {nn.ReLU: float("inf"), nn.ReLU6: 6.0}


def is_unpatched(module: nn.Module | None) -> bool:
    """Whether there is a module, and it runs its class's own forward pass."""
    return module is not None and "forward" not in vars(module)


def _is_plain(module: nn.Module | None) -> bool:
    return type(module) is nn.Conv2d and is_unpatched(module)


def _is_depthwise_without_padding(convolution: nn.Conv2d) -> bool:
    return convolution.groups == convolution.in_channels > 1 and convolution.padding == (0, 0)


def _is_pointwise(convolution: nn.Conv2d) -> bool:
    return (
        convolution.kernel_size == (1, 1)
        and convolution.stride == (1, 1)
        and convolution.padding == (0, 0)
        and convolution.groups == 1
    )


def _with_padding(convolution: nn.Conv2d, padding: tuple[int, ...]) -> nn.Conv2d:
    """Return a convolution that pads by itself, with zeros before its kernel to make it even."""
    left, right, top, bottom = padding
    weight = F.pad(convolution.weight.detach(), (right - left, 0, bottom - top, 0))
    result = nn.utils.skip_init(
        nn.Conv2d,
        convolution.in_channels,
        convolution.out_channels,
        tuple(weight.shape[2:]),
        stride=convolution.stride,
        padding=(bottom, right),
        groups=convolution.groups,
        bias=convolution.bias is not None,
        device=weight.device,
        dtype=weight.dtype,
    )
    result.weight = nn.Parameter(weight, requires_grad=False)
    result.bias = convolution.bias
    return result


class Pointwise(nn.Module):
    """A 1x1 convolution, and the activation after it, for images in channels-last layout.

    Parameters
    ----------
    convolution : nn.Conv2d
        Its weight and bias are used as they are.
    limit : float, optional
        Cut the result off at 0 and at this: infinity for ReLU, 6 for ReLU6. None leaves it.
    """

    def __init__(self, convolution: nn.Conv2d, limit: float | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(convolution.weight.detach().flatten(1), requires_grad=False)
        self.bias = convolution.bias
        self.limit = limit

    def forward(self, features: Tensor) -> Tensor:
        """Map features (N, C, H, W) to (N, channels out, H, W)."""
        return _Product.apply(features, self.weight, self.bias, self.limit)


class _Product(torch.autograd.Function):
    """Matrix product, bias and cut-off; remembers nothing but the result, and only to cut off."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor | None, limit: float | None
    ) -> Tensor:
        result = _rows(features) @ weight.t()
        if bias is not None:
            result.add_(bias)
        if limit is not None:
            result.clamp_(0, limit)
            ctx.save_for_backward(result)
        ctx.weight, ctx.limit, ctx.shape = weight, limit, features.shape
        return _images(result, features.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows = _rows(gradient)
        if ctx.limit is not None:
            (result,) = ctx.saved_tensors
            # where the result is 0 or the limit it was cut off, and the gradient is 0 there
            rows = torch.ops.aten.hardtanh_backward(rows, result, 0, ctx.limit)
        return _images(rows @ ctx.weight, ctx.shape), None, None, None


def _rows(features: Tensor) -> Tensor:
    """(N, C, H, W) to (N * H * W, C): a view of channels-last features."""
    return features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])


def _images(rows: Tensor, shape: torch.Size) -> Tensor:
    return rows.view(shape[0], *shape[2:], rows.shape[1]).permute(0, 3, 1, 2)
