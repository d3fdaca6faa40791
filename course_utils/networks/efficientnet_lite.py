"""EfficientNet-Lite0: torchvision's EfficientNet-B0, made for mobile accelerators.

EfficientNet-Lite (Liu, 2020) is EfficientNet (Tan & Le, 2019) with squeeze-and-excitation removed,
Swish replaced by ReLU6, stem and head not scaled. What is left is a deeper MobileNetV2 (Sandler et
al., 2018): expand with 1x1, filter each channel with k x k, project back with 1x1, add the input
where the shape allows.
"""

from __future__ import annotations

import functools
from collections import OrderedDict

from torch import nn


def efficientnet_lite0(classes: int = 1000) -> nn.Module:
    """Return EfficientNet-Lite0, from images (N, 3, 224, 224) to logits (N, classes), untrained.

    The weights were trained with TensorFlow's "same" padding. On even sizes a convolution of
    stride 2 then pads one pixel less on the left and top than on the right and bottom, which
    ``nn.Conv2d`` cannot express: an explicit ``ZeroPad2d`` goes first. Sizes that are multiples of
    32 px reproduce the training network exactly; others are padded in the same way.
    """
    from torchvision.models import efficientnet_b0
    from torchvision.ops import SqueezeExcitation

    norm = functools.partial(nn.BatchNorm2d, eps=1e-3)
    model = efficientnet_b0(num_classes=classes, norm_layer=norm, stochastic_depth_prob=0.0)
    for name, module in list(model.named_modules()):
        if isinstance(module, SqueezeExcitation):
            model.set_submodule(name, nn.Identity())
        elif isinstance(module, nn.SiLU) and not name.endswith("activation"):  # that one is in it
            model.set_submodule(name, nn.ReLU6())
        elif isinstance(module, nn.Conv2d) and module.stride == (2, 2):
            kernel, module.padding = module.kernel_size[0], (0, 0)
            pad = nn.ZeroPad2d(((kernel - 2) // 2, (kernel - 1) // 2) * 2)
            model.set_submodule(name, nn.Sequential(pad, module))
    stem, *stages, head = model.features
    return nn.Sequential(
        OrderedDict(
            stem=stem,
            blocks=nn.Sequential(*(block for stage in stages for block in stage)),
            head=head,
            pool=model.avgpool,
            flatten=nn.Flatten(),
            dropout=model.classifier[0],
            classifier=model.classifier[1],
        )
    )
