"""Name every reason for which a file is refused.

ImageError
├── EmptyFile                   400  empty_file
├── NotDicom                    415  not_dicom
├── UnsupportedTransferSyntax   415  unsupported_transfer_syntax
├── LimitExceeded               413  limit_exceeded
└── UnusableImage               422  unusable_image
    ├── ExecutablePreamble           executable_preamble
    ├── NotAnImage                   not_an_image
    ├── WrongModality                wrong_modality
    ├── NotGrayscale                 not_grayscale
    ├── NoPixels                     no_pixels
    ├── FrameNotFound                frame_not_found
    ├── UnsupportedPixelFormat       unsupported_pixel_format
    ├── DamagedImage                 damaged_image
    ├── GeometryMismatch             geometry_mismatch
    └── NotFinite                    not_finite

Codes are part of the service's contract: they stay as they are.
"""

from typing import ClassVar


class ImageError(Exception):
    """A file that cannot be scored; its message may leave the process.

    Args:
        detail: what was expected, what was found and what to do; never patient data, a file name
            or the text of a library.
    """

    code: ClassVar[str] = "image_error"
    status: ClassVar[int] = 422
    title: ClassVar[str] = "The image cannot be used"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class EmptyFile(ImageError):
    """The file has no bytes."""

    code = "empty_file"
    status = 400
    title = "The file is empty"


class NotDicom(ImageError):
    """The bytes are not DICOM."""

    code = "not_dicom"
    status = 415
    title = "The file is not DICOM"


class UnsupportedTransferSyntax(ImageError):
    """No decoder here reads the encoding of the pixels."""

    code = "unsupported_transfer_syntax"
    status = 415
    title = "The transfer syntax is not supported"


class LimitExceeded(ImageError):
    """The file asks for more than one request may use.

    Args:
        detail: see `ImageError`.
        limit: the field of `Limits` that it exceeds, if a caller can raise it.
    """

    code = "limit_exceeded"
    status = 413
    title = "The file exceeds a limit"

    def __init__(self, detail: str, limit: str | None = None) -> None:
        super().__init__(detail)
        self.limit = limit


class UnusableImage(ImageError):
    """DICOM, but not a grayscale MR image that can be scored."""

    code = "unusable_image"
    status = 422
    title = "The image cannot be used"


class ExecutablePreamble(UnusableImage):
    """The 128 bytes before the DICOM prefix may start a program (CVE-2019-11687)."""

    code = "executable_preamble"
    title = "The preamble may hold a program"


class NotAnImage(UnusableImage):
    """A report, document, presentation state, segmentation or directory."""

    code = "not_an_image"
    title = "The object is not an image"


class WrongModality(UnusableImage):
    """An image of a modality other than MR."""

    code = "wrong_modality"
    title = "The modality is not MR"


class NotGrayscale(UnusableImage):
    """A colour or palette image."""

    code = "not_grayscale"
    title = "The image is not grayscale"


class NoPixels(UnusableImage):
    """The object has no pixel data."""

    code = "no_pixels"
    title = "The object has no pixels"


class FrameNotFound(UnusableImage):
    """The object does not have the requested frame."""

    code = "frame_not_found"
    title = "The frame does not exist"


class UnsupportedPixelFormat(UnusableImage):
    """A number of bits per sample that MR images do not have."""

    code = "unsupported_pixel_format"
    title = "The pixel format is not supported"


class DamagedImage(UnusableImage):
    """The file is cut short or its bytes contradict themselves."""

    code = "damaged_image"
    title = "The image is damaged"


class GeometryMismatch(UnusableImage):
    """Rows, columns or frames are missing, or disagree with the pixel data."""

    code = "geometry_mismatch"
    title = "The declared geometry does not fit the pixel data"


class NotFinite(UnusableImage):
    """Some pixel is NaN or infinite."""

    code = "not_finite"
    title = "The image holds values that are not finite"
