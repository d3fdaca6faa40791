"""EfficientNet-Lite0: an inverted-residual network of the MobileNet family.

EfficientNet-Lite (Liu, 2020) is EfficientNet-B0 (Tan & Le, 2019) made for mobile accelerators:
squeeze-and-excitation removed, Swish replaced by ReLU6, stem and head not scaled. What is left is a
deeper MobileNetV2 (Sandler et al., 2018): expand with 1x1, filter each channel with k x k, project
back with 1x1, add the input where the shape allows.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn


class Stage(NamedTuple):
    """A run of equal blocks; only the first may change resolution and width."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    width: int


STAGES = (
    Stage(blocks=1, kernel=3, stride=1, expansion=1, width=16),
    Stage(blocks=2, kernel=3, stride=2, expansion=6, width=24),
    Stage(blocks=2, kernel=5, stride=2, expansion=6, width=40),
    Stage(blocks=3, kernel=3, stride=2, expansion=6, width=80),
    Stage(blocks=3, kernel=5, stride=1, expansion=6, width=112),
    Stage(blocks=4, kernel=5, stride=2, expansion=6, width=192),
    Stage(blocks=1, kernel=3, stride=1, expansion=6, width=320),
)
STEM_WIDTH, HEAD_WIDTH = 32, 1280


class ConvNorm(nn.Sequential):
    """Convolution, batch norm and, if wanted, ReLU6.

    The weights were trained with TensorFlow's "same" padding. On even sizes a convolution of
    stride 2 then pads one pixel less on the left and top than on the right and bottom, which
    ``nn.Conv2d`` cannot express: an explicit ``ZeroPad2d`` goes first. Sizes that are multiples of
    32 px reproduce the training network exactly; others are padded in the same way.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        activate: bool = True,
    ) -> None:
        symmetric = stride == 1
        before, after = (kernel - 2) // 2, (kernel - 1) // 2
        layers: dict[str, nn.Module] = {}
        if not symmetric:
            layers["pad"] = nn.ZeroPad2d((before, after, before, after))
        layers["conv"] = nn.Conv2d(
            channels_in,
            channels_out,
            kernel,
            stride,
            padding=kernel // 2 if symmetric else 0,
            groups=groups,
            bias=False,
        )
        layers["norm"] = nn.BatchNorm2d(channels_out, eps=1e-3)
        if activate:
            layers["act"] = nn.ReLU6()
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)


class InvertedResidual(nn.Module):
    """Expand, filter depthwise, project; add the input when shape and stride allow."""

    def __init__(self, channels_in: int, stage: Stage, stride: int) -> None:
        super().__init__()
        inner = channels_in * stage.expansion
        self.expand = ConvNorm(channels_in, inner) if stage.expansion > 1 else nn.Identity()
        self.depthwise = ConvNorm(inner, inner, stage.kernel, stride, groups=inner)
        self.project = ConvNorm(inner, stage.width, activate=False)
        self.residual = stride == 1 and channels_in == stage.width

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C_in, H, W) to (N, C_out, H / stride, W / stride)."""
        transformed = self.project(self.depthwise(self.expand(features)))
        return features + transformed if self.residual else transformed


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0, from (N, 3, 224, 224) images to (N, classes) logits."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.stem = ConvNorm(3, STEM_WIDTH, kernel=3, stride=2)
        blocks, channels = [], STEM_WIDTH
        for stage in STAGES:
            for position in range(stage.blocks):
                stride = stage.stride if position == 0 else 1
                blocks.append(InvertedResidual(channels, stage, stride))
                channels = stage.width
        self.blocks = nn.Sequential(*blocks)
        self.head = ConvNorm(channels, HEAD_WIDTH)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(0.2)
        self.classifier = nn.Linear(HEAD_WIDTH, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (N, 3, H, W) to logits (N, classes)."""
        features = self.head(self.blocks(self.stem(images)))
        return self.classifier(self.dropout(self.flatten(self.pool(features))))
