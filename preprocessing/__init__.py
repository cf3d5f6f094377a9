"""Turn DICOM bytes into the model's input."""

from preprocessing.dicom import Slice, SliceFacts, read_frames, read_image
from preprocessing.errors import ImageError
from preprocessing.transforms import InputSpec, to_input

__all__ = [
    "ImageError",
    "InputSpec",
    "Slice",
    "SliceFacts",
    "read_frames",
    "read_image",
    "to_input",
]
