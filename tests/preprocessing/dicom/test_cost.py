"""Frames and pixels against the bytes that were sent for them."""

import numpy as np
import pytest

from preprocessing import open_image
from preprocessing.dicom.cost import BYTES_A_FRAME, FREE_FRAMES
from preprocessing.errors import LimitExceeded
from tests.dicom_files import NATIVE, encapsulated, make_dicom
from tests.preprocessing.decoding.codestreams import JPEG, encode_jpeg_ls


def padded(frames: int, n_bytes: int) -> bytes:
    """An object of frames of one pixel, and zeros that make it as long."""
    data = make_dicom(np.zeros((frames, 1, 1), np.uint8))
    return data + b"\0" * (n_bytes - len(data))


@pytest.mark.parametrize("kilobytes", [2, 50])
def test_each_thousand_bytes_pay_for_a_frame_beyond_the_first_few(kilobytes: int) -> None:
    most = FREE_FRAMES + kilobytes
    assert open_image(padded(most, kilobytes * BYTES_A_FRAME)).layout.frames == most
    with pytest.raises(LimitExceeded, match=f"at most {most} are read"):
        open_image(padded(most + 1, kilobytes * BYTES_A_FRAME))


def test_frames_of_32_x_32_pixels_always_pay_for_themselves() -> None:
    assert open_image(make_dicom(np.zeros((300, 32, 32), np.uint8))).layout.frames == 300


@pytest.mark.parametrize(("frames", "side"), [(1, 4096), (15, 1024)])
def test_pixels_that_are_compressed_to_nothing_are_refused(frames: int, side: int) -> None:
    black = np.zeros((frames, side, side), np.uint16)
    encoded = [encode_jpeg_ls(black[0])] * frames
    with pytest.raises(LimitExceeded, match="are decompressed from so few"):
        open_image(encapsulated(black, JPEG + "80", encoded))
    with pytest.raises(LimitExceeded, match="are decompressed from so few"):
        open_image(make_dicom(black.astype(np.uint8), NATIVE["deflated"]))


def test_a_black_slice_of_any_usual_size_is_read_however_small_its_file_is() -> None:
    black = np.zeros((1024, 1024), np.uint16)
    assert len(encoded := encode_jpeg_ls(black)) < 1000
    assert open_image(encapsulated(black, JPEG + "80", [encoded])).layout.rows == 1024
    assert open_image(make_dicom(black, NATIVE["deflated"])).layout.rows == 1024
