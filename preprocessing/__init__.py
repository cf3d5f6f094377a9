"""Turn DICOM bytes into the model's input."""

from preprocessing.dicom import ImageFile, Slice, open_image, read_frames, read_image
from preprocessing.errors import ImageError
from preprocessing.facts import SliceFacts
from preprocessing.header import is_compressed, is_deflated
from preprocessing.transforms import InputSpec, to_input

__all__ = [
    "ImageError",
    "ImageFile",
    "InputSpec",
    "Slice",
    "SliceFacts",
    "is_compressed",
    "is_deflated",
    "open_image",
    "read_frames",
    "read_image",
    "to_input",
]
