"""One loader per data set: real photographs and the course's rendered pictures, by the same code.

``load_dataset("vegetables")`` returns `DatasetSplits` with ``.train``, ``.val`` and ``.test``. Each
is an ordinary PyTorch data set; ``split.to_tensors()`` decodes it into memory at once.

The copy that comes with the course has the folder layout of the real one, so one parser reads
both; beside it lie what only a renderer can know: masks of the parts, scenes, interventions.
"""

from .images import DatasetSplits, ImageDataset
from .layouts import DatasetError
from .loading import load_dataset

__all__ = ["DatasetError", "DatasetSplits", "ImageDataset", "load_dataset"]
