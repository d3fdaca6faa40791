"""EfficientNet-Lite0: an inverted-residual network of the MobileNet family.

EfficientNet-Lite (Liu, 2020) is EfficientNet-B0 (Tan & Le, 2019) made for mobile accelerators:
squeeze-and-excitation removed, Swish replaced by ReLU6, stem and head not scaled. What is left is a
deeper MobileNetV2 (Sandler et al., 2018): expand with 1x1, filter each channel with k x k, project
back with 1x1, add the input where the shape allows.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

# blocks, kernel, stride (of the first block), expansion, width
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
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
        layers: dict[str, nn.Module] = {}
        if stride > 1:
            layers["pad"] = nn.ZeroPad2d(((kernel - 2) // 2, (kernel - 1) // 2) * 2)
        layers["conv"] = nn.Conv2d(
            channels_in, channels_out, kernel, stride, 0 if stride > 1 else kernel // 2,
            groups=groups, bias=False,
        )  # fmt: skip
        layers["norm"] = nn.BatchNorm2d(channels_out, eps=1e-3)
        if activate:
            layers["act"] = nn.ReLU6()
        super().__init__(OrderedDict(layers))


class InvertedResidual(nn.Module):
    """Expand, filter depthwise, project; add the input when shape and stride allow."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        inner = channels_in * expansion
        self.expand = ConvNorm(channels_in, inner) if expansion > 1 else nn.Identity()
        self.depthwise = ConvNorm(inner, inner, kernel, stride, groups=inner)
        self.project = ConvNorm(inner, channels_out, activate=False)
        self.residual = stride == 1 and channels_in == channels_out

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
        for count, kernel, stride, expansion, width in STAGES:
            for position in range(count):
                step = stride if position == 0 else 1
                blocks.append(InvertedResidual(channels, width, kernel, step, expansion))
                channels = width
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
