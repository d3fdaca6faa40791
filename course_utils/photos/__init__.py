"""Real photographs, opened safely from a name, a path, a URL, bytes or a PIL image.

The catalogue (`PHOTOS`, `photo_names`, `photo`) holds photographs that come with packages the
course installs anyway, so they are there without internet. `load_photo` opens those and any other
picture, always as an upright RGB image with 8 bits per channel, or says what is wrong with it.
"""

from .catalogue import COLLECTIONS, PHOTOS, Photo, photo, photo_names
from .opening import MAX_PIXELS, PhotoError, PhotoSource, load_photo

__all__ = [
    "COLLECTIONS",
    "MAX_PIXELS",
    "PHOTOS",
    "Photo",
    "PhotoError",
    "PhotoSource",
    "load_photo",
    "photo",
    "photo_names",
]
