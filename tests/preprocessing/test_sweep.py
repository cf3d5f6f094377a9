"""pydicom's own test files and the examples of the data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_files

from preprocessing import ImageError, InputSpec, read_frames, read_image, to_input
from tests.root import ROOT

FILES = sorted(path for path in map(Path, get_testdata_files()) if path.is_file())
SYNTAXES = ROOT.parent / "shared" / "data" / "spider" / "transfer_syntaxes"


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_every_file_of_pydicom_is_a_slice_or_a_known_error(path: Path) -> None:
    data = path.read_bytes()
    try:
        inputs = [to_input(image, InputSpec()) for image in read_frames(data)]
    except ImageError:
        return
    assert inputs
    assert np.isfinite(inputs).all()


READABLE = [
    path for path in FILES if path.name.startswith("MR_small") or path.parent.name[:2] == "MR"
]


@pytest.mark.parametrize("path", READABLE, ids=lambda path: path.name)
def test_pixels_equal_those_of_pydicom(path: Path) -> None:
    ds = pydicom.dcmread(path)
    if path.name == "MR_small_padded.dcm":  # pydicom warns of zeros after the pixels
        ds.PixelData = ds.PixelData[: ds.Rows * ds.Columns * 2]
    np.testing.assert_array_equal(read_image(path.read_bytes()).pixels, ds.pixel_array)


# CI has the data next to the project, a user's clone does not; patients' images are not committed.
@pytest.mark.skipif(not SYNTAXES.is_dir(), reason="the shared data set is not on this machine")
def test_the_six_example_syntaxes_hold_the_same_slice() -> None:
    images = [read_image(path.read_bytes()) for path in sorted(SYNTAXES.glob("*.dcm"))]
    assert len(images) == 6
    inputs = [to_input(image, InputSpec()) for image in images]
    for image, x in zip(images, inputs, strict=True):
        np.testing.assert_allclose(image.pixels, images[0].pixels, atol=1e-6)
        np.testing.assert_allclose(x, inputs[0], atol=1e-6)
