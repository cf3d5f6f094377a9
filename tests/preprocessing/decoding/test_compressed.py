"""Compressed transfer syntaxes, and decoders that fail."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import rle
from openjpeg.utils import encode_array as encode_jpeg_2000
from pydicom.encaps import encapsulate

from preprocessing import ImageError, read_frames, read_image
from preprocessing.errors import (
    DamagedImage,
    GeometryMismatch,
    LimitExceeded,
    NotGrayscale,
    UnsupportedTransferSyntax,
)
from tests.dicom_files import encapsulated, mr_dataset, write
from tests.preprocessing.decoding import codestreams
from tests.preprocessing.decoding.codestreams import (
    JPEG,
    LOSSLESS,
    RAMP,
    RLE,
    encode_jpeg_ls,
    encode_rle,
)


@pytest.mark.parametrize(("syntax", "frame"), LOSSLESS.values(), ids=LOSSLESS)
def test_lossless_syntaxes_give_the_very_pixels(syntax: str, frame: bytes) -> None:
    image = read_image(encapsulated(RAMP, syntax, [frame], BitsStored=12, HighBit=11))
    np.testing.assert_array_equal(image.pixels, RAMP)


@pytest.mark.parametrize(
    ("syntax", "frame", "error"),
    [
        (JPEG + "51", codestreams.JPEG_EXTENDED_12_BIT, 4),
        (JPEG + "81", encode_jpeg_ls(RAMP, lossy_error=3), 3),
        (JPEG + "203", codestreams.HTJ2K_LOSSY, 1),
    ],
    ids=["JPEG extended", "JPEG-LS near-lossless", "HTJ2K"],
)
def test_lossy_syntaxes_stay_within_their_error(syntax: str, frame: bytes, error: int) -> None:
    image = read_image(encapsulated(RAMP, syntax, [frame], BitsStored=12, HighBit=11))
    np.testing.assert_allclose(image.pixels, RAMP, atol=error)


def test_jpeg_baseline_is_read() -> None:
    pixels = (RAMP >> 4).astype(np.uint8)
    image = read_image(encapsulated(pixels, JPEG + "50", [codestreams.JPEG_BASELINE]))
    np.testing.assert_allclose(image.pixels, pixels, atol=2)


@pytest.mark.parametrize("encode", [encode_rle, encode_jpeg_ls], ids=["RLE", "JPEG-LS"])
def test_signed_samples_keep_their_sign(encode: object) -> None:
    # The codestream carries the 16-bit patterns; their meaning comes from PixelRepresentation.
    pixels = RAMP.astype(np.int16) - 2000
    patterns = pixels.view(np.uint16)
    rle_or_ls = RLE if encode is encode_rle else JPEG + "80"
    frame = encode_rle(patterns) if encode is encode_rle else encode_jpeg_ls(patterns)
    np.testing.assert_array_equal(
        read_image(encapsulated(pixels, rle_or_ls, [frame])).pixels, pixels
    )


def test_samples_of_32_bit_become_floats_in_their_own_memory() -> None:
    # More than the pixels that are converted at once, so that a wrong order would show.
    pixels = np.random.default_rng(1).integers(-70_000, 70_000, (800, 900)).astype(np.int32)
    frame = bytes(rle.rle.encode_frame(pixels.tobytes(), 800, 900, 1, 32, "<"))
    data = encapsulated(pixels, RLE, [frame], RescaleSlope="2")
    np.testing.assert_array_equal(read_image(data).pixels, pixels * 2.0)


def test_signed_jpeg_2000_keeps_its_sign() -> None:
    pixels = np.tile(RAMP.astype(np.int16) - 2000, (2, 2))  # the encoder wants 32 pixels a side
    data = encapsulated(pixels, JPEG + "90", [encode_jpeg_2000(pixels)])
    np.testing.assert_array_equal(read_image(data).pixels, pixels)


@pytest.mark.parametrize("syntax", [RLE, JPEG + "80"])
def test_each_frame_of_a_compressed_object_is_an_image(syntax: str) -> None:
    frames = np.stack([RAMP, RAMP // 2, RAMP // 3])
    encode = encode_rle if syntax == RLE else encode_jpeg_ls
    data = encapsulated(frames, syntax, [encode(frame) for frame in frames])
    np.testing.assert_array_equal([image.pixels for image in read_frames(data)], frames)
    np.testing.assert_array_equal(read_image(data, frame=2).pixels, frames[1])


@pytest.mark.parametrize("syntax", [RLE, JPEG + "80"])
def test_frames_that_number_of_frames_leaves_out_are_not_passed_over(syntax: str) -> None:
    encode = encode_rle if syntax == RLE else encode_jpeg_ls
    data = encapsulated(RAMP, syntax, [encode(RAMP), encode(RAMP // 2), encode(RAMP // 3)])
    with pytest.raises(GeometryMismatch, match="holds 3"):
        read_image(data)


def test_a_frame_in_several_fragments_is_joined() -> None:
    frame = encode_jpeg_ls(RAMP)
    frame += b"\0" * (len(frame) % 2)
    half = len(frame) // 4 * 2
    data = encapsulated(RAMP, JPEG + "80", [frame[:half], frame[half:]])
    np.testing.assert_array_equal(read_image(data).pixels, RAMP)


@pytest.mark.parametrize("name", ["JPEG lossless", "JPEG-LS lossless", "JPEG 2000 lossless"])
def test_a_codestream_of_another_size_is_refused_before_it_is_decoded(name: str) -> None:
    syntax, frame = LOSSLESS[name]
    with pytest.raises(GeometryMismatch):
        read_image(encapsulated(RAMP, syntax, [frame], Rows=8))


@pytest.mark.parametrize("name", ["JPEG lossless", "JPEG-LS lossless", "JPEG 2000 lossless"])
def test_a_frame_filled_up_with_zeros_and_empty_fragments_is_read(name: str) -> None:
    syntax, frame = LOSSLESS[name]
    filled = frame + b"\0" * (4096 - len(frame))
    data = encapsulated(RAMP, syntax, [filled], BitsStored=12, HighBit=11)
    end = data.rindex(b"\xfe\xff\xdd\xe0")
    data = data[:end] + b"\xfe\xff\0\xe0\0\0\0\0" + data[end:]
    np.testing.assert_array_equal(read_image(data).pixels, RAMP)


def test_an_rle_frame_with_too_few_segments_is_refused_before_it_is_decoded() -> None:
    frame = b"\1" + encode_rle(RAMP)[1:]
    with pytest.raises(GeometryMismatch, match="1 segments"):
        read_image(encapsulated(RAMP, RLE, [frame]))


def test_a_subsampled_codestream_has_the_size_of_its_samples() -> None:
    frame = bytearray(codestreams.JPEG_2000)
    at = frame.index(b"\xff\x51")
    frame[at + 41 : at + 43] = b"\2\2"  # XRsiz and YRsiz
    with pytest.raises(GeometryMismatch, match="holds 8 x 12 pixels"):
        read_image(encapsulated(RAMP, JPEG + "90", [bytes(frame)]))


def test_a_codestream_with_three_components_is_not_grayscale() -> None:
    frame = encode_jpeg_2000(np.zeros((32, 32, 3), np.uint8), photometric_interpretation=1)
    with pytest.raises(NotGrayscale):
        read_image(encapsulated(RAMP, JPEG + "90", [frame]))


@pytest.mark.parametrize(("syntax", "frame"), LOSSLESS.values(), ids=LOSSLESS)
def test_a_cut_codestream_is_damaged_and_the_next_one_is_read(syntax: str, frame: bytes) -> None:
    for length in (2, 10, len(frame) // 3, len(frame) // 2):
        with pytest.raises((DamagedImage, GeometryMismatch)):
            read_image(encapsulated(RAMP, syntax, [frame[:length]]))
    whole = encapsulated(RAMP, syntax, [frame], BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(read_image(whole).pixels, RAMP)


@pytest.mark.parametrize(
    ("syntax", "frame"),
    [
        (JPEG + "50", codestreams.JPEG_BASELINE),
        (JPEG + "51", codestreams.JPEG_EXTENDED_12_BIT),
        (JPEG + "57", codestreams.JPEG_LOSSLESS_PREDICTOR_6),
        (JPEG + "70", codestreams.JPEG_LOSSLESS_PREDICTOR_1),
    ],
    ids=["baseline", "extended", "lossless", "lossless SV1"],
)
def test_a_jpeg_whose_scan_ends_early_is_damaged_although_it_has_an_end(
    syntax: str, frame: bytes
) -> None:
    # libjpeg-turbo makes a picture of it, grey or smeared below the cut.
    pixels = (RAMP >> 4).astype(np.uint8) if syntax == JPEG + "50" else RAMP
    scan = frame.index(b"\xff\xda") + 10
    for length in (len(frame) - 4, (scan + len(frame)) // 2, scan + 2):
        data = encapsulated(pixels, syntax, [frame[:length] + b"\xff\xd9"])
        with pytest.raises(DamagedImage, match="cannot be decoded"):
            read_image(data)


def test_an_unknown_transfer_syntax_is_named_as_such() -> None:
    with pytest.raises(UnsupportedTransferSyntax):
        read_image(encapsulated(RAMP, JPEG + "100", [b"\0\0"]))


def test_compressed_bytes_under_a_native_syntax_are_refused() -> None:
    with pytest.raises(DamagedImage):
        read_image(encapsulated(RAMP, RLE, [encode_rle(RAMP)]).replace(b".1.2.5\0", b".1.2.1\0", 1))


def test_a_frame_that_claims_gigabytes_costs_no_memory() -> None:
    # A JPEG-LS header of 65535 x 65535 pixels, and Rows and Columns that agree with it.
    frame = bytearray(encode_jpeg_ls(RAMP))
    at = frame.index(b"\xff\xf7")
    frame[at + 5 : at + 9] = struct.pack(">HH", 65535, 65535)
    with pytest.raises(LimitExceeded):
        read_image(encapsulated(RAMP, JPEG + "80", [bytes(frame)], Rows=65535, Columns=65535))
    with pytest.raises(GeometryMismatch):
        read_image(encapsulated(RAMP, JPEG + "80", [bytes(frame)]))


def _claiming(frame: bytes, marker: bytes, rows: int, columns: int) -> bytes:
    """Write another size into the header of a codestream."""
    changed = bytearray(frame)
    at = changed.index(marker)
    if marker == b"\xff\x51":  # SIZ: image, offset and tile sizes
        changed[at + 6 : at + 14] = struct.pack(">II", columns, rows)
        changed[at + 22 : at + 30] = struct.pack(">II", columns, rows)
    else:
        changed[at + 5 : at + 9] = struct.pack(">HH", rows, columns)
    return bytes(changed)


@pytest.mark.parametrize(
    ("name", "marker"),
    [
        ("JPEG lossless SV1", b"\xff\xc3"),
        ("JPEG-LS lossless", b"\xff\xf7"),
        ("JPEG 2000 lossless", b"\xff\x51"),
        ("HTJ2K lossless", b"\xff\x51"),
    ],
)
def test_a_small_frame_that_claims_the_largest_size_is_refused_in_time(
    name: str, marker: bytes
) -> None:
    syntax, frame = LOSSLESS[name]
    frame = _claiming(frame, marker, 4096, 4096)
    with pytest.raises(ImageError):
        read_image(encapsulated(RAMP, syntax, [frame], Rows=4096, Columns=4096))


def test_a_million_tiles_are_refused_in_time() -> None:
    frame = bytearray(_claiming(codestreams.JPEG_2000, b"\xff\x51", 4096, 4096))
    at = frame.index(b"\xff\x51")
    frame[at + 22 : at + 30] = struct.pack(">II", 4, 4)
    with pytest.raises(ImageError):
        read_image(encapsulated(RAMP, JPEG + "90", [bytes(frame)], Rows=4096, Columns=4096))


@pytest.mark.parametrize("has_offset_table", [True, False])
def test_frames_in_several_fragments_are_told_apart(has_offset_table: bool) -> None:
    frames = np.stack([RAMP, RAMP // 2])
    encoded = [encode_jpeg_ls(frame) for frame in frames]
    ds = mr_dataset(frames)
    ds.PixelData = encapsulate(encoded, fragments_per_frame=3, has_bot=has_offset_table)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    data = write(ds, JPEG + "80")
    np.testing.assert_array_equal([image.pixels for image in read_frames(data)], frames)


@pytest.mark.parametrize("declared", [2, 4])
def test_another_number_of_frames_than_declared_is_a_mismatch(declared: int) -> None:
    frames = np.stack([RAMP, RAMP // 2, RAMP // 3])
    encoded = [encode_jpeg_ls(frame) for frame in frames]
    with pytest.raises(GeometryMismatch):
        read_image(encapsulated(frames, JPEG + "80", encoded, NumberOfFrames=declared))
