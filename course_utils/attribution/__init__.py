"""The few attribution methods that Captum lacks, or lacks in bounded memory.

- `integrated_gradients`, `path_gradients`, `quadrature`: path integrals, chunk by chunk
- `grad_cam`: Grad-CAM at any layer, with the graph cut there
- `deeplift`: DeepLift whose attributions sum to the score difference

For everything else use Captum itself.
"""

from .deeplift import deeplift
from .gradcam import grad_cam
from .paths import PathAttribution, integrated_gradients, path_gradients
from .quadrature import quadrature

__all__ = [
    "PathAttribution",
    "deeplift",
    "grad_cam",
    "integrated_gradients",
    "path_gradients",
    "quadrature",
]
