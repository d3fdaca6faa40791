"""Networks that hypothesis draws or that misbehave, and everything that a call may change."""

from __future__ import annotations

import contextlib
import copy
import random
import sys

import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import nn

quickly = settings(max_examples=12, deadline=None, derandomize=True)


def images(number=2, size=24, dtype=torch.float32) -> torch.Tensor:
    return torch.randn(number, 3, size, size, generator=torch.Generator().manual_seed(2)).to(dtype)


def distance(ours: torch.Tensor, reference: torch.Tensor) -> float:
    """Largest difference, in units of the largest reference value."""
    return float((ours - reference).abs().max() / reference.abs().max())


class Drawn(nn.Module):
    """A network that hypothesis chooses: activation, pooling, batch norm, head."""

    def __init__(self, activation, pooling, norm, seed, homogeneous=False):
        super().__init__()
        torch.manual_seed(seed)
        self.layer = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8) if norm else nn.Identity()
        self.activation, self.pooling = activation(), pooling()
        self.second = nn.Conv2d(8, 8, 3, bias=not homogeneous)
        self.head = nn.Linear(8, 4, bias=not homogeneous)

    def forward(self, batch):
        features = self.pooling(self.activation(self.norm(self.layer(batch))))
        return self.head(self.activation(self.second(features)).mean((2, 3)))


ACTIVATIONS = [
    nn.ReLU,
    nn.ReLU6,
    nn.SiLU,
    nn.Sigmoid,
    nn.Tanh,
    nn.LeakyReLU,
    lambda: nn.ReLU(inplace=True),
]
POOLINGS = [nn.Identity, lambda: nn.MaxPool2d(3, 2), lambda: nn.AvgPool2d(2)]
networks = st.builds(
    Drawn,
    st.sampled_from(ACTIVATIONS),
    st.sampled_from(POOLINGS),
    st.booleans(),
    st.integers(0, 10),
)


class Meddling(Drawn):
    """Everything that a forward pass should not do, and some do."""

    def __init__(self, *args):
        super().__init__(*args)
        self.register_buffer("calls", torch.zeros(()))
        self.plain, self.log, self.table, self.error = torch.zeros(2), [], {}, None
        self.patience = 2
        self.register_forward_hook(lambda module, *_: setattr(module, "hooked", True))

    def forward(self, batch):
        batch.mul_(0.5).add_(0.1)
        self.calls += 1
        self.plain.add_(1)
        self.log.append(batch.shape)
        self.table["last"] = batch
        self.seen = self.seen + 1 if hasattr(self, "seen") else 1
        self.second.requires_grad_(False)
        self.norm.train()
        self.norm.eps = 1.0 if self.seen == 1 else self.norm.eps
        self.extra = nn.Identity()
        torch.rand(3)
        if self.error and self.seen >= self.patience:
            raise self.error
        self.norm.eval()
        return super().forward(batch)


def _tensors(model):
    plain = [value for value in vars(model).values() if isinstance(value, torch.Tensor)]
    return [*model.parameters(), *model.buffers(), *plain]


def state_of(model, *passed):
    """Everything about a model, what is passed in, and PyTorch that a method might change."""
    return (
        [
            {
                name: list(value.items() if isinstance(value, dict) else value)
                if isinstance(value, dict | list)
                else value
                for name, value in vars(module).items()
                if not isinstance(value, torch.Tensor)
                and name not in ("_parameters", "_buffers", "_modules")
            }
            for module in model.modules()
        ],
        [
            [name for name, _ in items]
            for items in (model.named_modules(), model.named_parameters(), model.named_buffers())
        ],
        [(id(t), t.requires_grad, t.grad, t.stride(), t.tolist()) for t in _tensors(model)],
        [(p.requires_grad, p.grad, p.stride(), p.tolist()) for p in passed if hasattr(p, "grad")],
        [copy.copy(p) for p in passed if not hasattr(p, "grad")],
        (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_num_threads()),
        (torch.is_autocast_enabled("cpu"), torch._C._len_torch_function_stack()),
        torch.get_rng_state().tolist(),
        random.getstate(),
    )


@contextlib.contextmanager
def interrupted_at(moment):
    """Interrupt as a signal would: at the call of any function, in PyTorch or in the course."""
    left = moment

    def interrupt(frame, event, _argument):
        nonlocal left
        # leaving a context is out of reach: Python itself may be interrupted before it begins
        if event == "call" and frame.f_code.co_name not in ("__exit__", "remove", "clone"):
            left -= 1
            if left == 0:
                raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        sys.setprofile(interrupt)
        try:
            yield
        finally:
            sys.setprofile(None)
