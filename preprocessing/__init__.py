"""Turn DICOM bytes into the model's input."""

from preprocessing.dicom.facts import SliceFacts
from preprocessing.dicom.header import Storage, storage_of
from preprocessing.dicom.reader import ImageFile, Slice, open_image, read_frames, read_image
from preprocessing.errors import ImageError
from preprocessing.transforms import InputSpec, to_input

__all__ = [
    "ImageError",
    "ImageFile",
    "InputSpec",
    "Slice",
    "SliceFacts",
    "Storage",
    "open_image",
    "read_frames",
    "read_image",
    "storage_of",
    "to_input",
]
