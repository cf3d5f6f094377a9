"""Each file of the corpus is read or refused as its class says, at a bounded cost."""

from __future__ import annotations

import hashlib
import sys
import warnings
from collections import Counter
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from pydicom.pixels.processing import apply_rescale

from preprocessing import ImageError, InputSpec, read_frames, read_image, to_input
from preprocessing.dicom.header import read_header
from preprocessing.limits import DEFAULT
from preprocessing.transfer_syntaxes import COMPRESSED, NATIVE
from tests.security.files import corpus_pydicom
from tests.security.files.corpus import OK, STATUS, Case, cases
from tests.security.files.corpus_files import MARKER

SPEC = InputSpec()
CASES = cases()
ORDINARY = [case for case in CASES if not case.is_expensive]
EXPENSIVE = [case for case in CASES if case.is_expensive]
MB = 1_000_000
# A 4096 x 4096 slice takes 67 MB of samples of 32 bit and 67 MB of pixels; the allocator keeps some
# of what was used before, as the service does not let it.
MEMORY_BYTES = 200 * MB

Inputs = list[npt.NDArray[np.float32]]


def outcome(data: bytes) -> tuple[str, Inputs]:
    """Read a file as the service does; the code of what came out, and the model's inputs."""
    made: Inputs = []
    try:
        for image in read_frames(data):
            assert np.isfinite(image.pixels).all()
            made.append(to_input(image, SPEC))
            assert 0 <= made[-1].min() <= made[-1].max() <= 1
    except ImageError as error:
        refusal = error
    else:
        return OK, made
    assert MARKER not in f"{refusal} {refusal.detail} {refusal!r}"
    return refusal.code, []


@cache
def reference(group: str) -> Inputs:
    """The inputs of the first file of a group with the same pixels."""
    return outcome(next(case for case in CASES if case.same_as == group).build())[1]


def check(case: Case, code: str, inputs: Inputs) -> None:
    assert code in case.codes
    if case.must_pass:
        assert len(inputs) == case.frames
    if case.same_as:
        np.testing.assert_allclose(inputs, reference(case.same_as), atol=1e-6)


@pytest.mark.parametrize("case", ORDINARY, ids=lambda case: case.name)
def test_a_file_is_read_or_refused_as_its_class_says(case: Case) -> None:
    check(case, *outcome(case.build()))


@pytest.mark.heavy
# Only Linux sets a process's peak back; macOS lacks /proc.
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("case", EXPENSIVE, ids=lambda case: case.name)
def test_an_expensive_file_takes_a_bounded_amount_of_memory(case: Case) -> None:
    data = case.build()
    # Sets the peak back (man proc_pid_clear_refs); tracemalloc would take ten times as long.
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    result = outcome(data)
    growth = memory("VmHWM") - before
    check(case, *result)
    assert growth < MEMORY_BYTES


def memory(name: str) -> int:
    """Bytes that this process uses now, or used at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def test_every_class_code_and_transfer_syntax_has_its_files() -> None:
    kinds = Counter(case.kind for case in CASES)
    assert set(kinds) == {"valid", "tolerated", "refused", "malformed"}
    assert min(kinds.values()) >= 100
    assert len(CASES) >= 300
    # frame_not_found needs an argument, unusable_image and image_error are only ancestors.
    alone = {code for case in CASES if len(case.codes) == 1 for code in case.codes}
    assert set(STATUS) - {"frame_not_found", "unusable_image", "image_error", "damaged_image"} <= (
        alone | {"not_an_image", "wrong_modality"}
    )
    ramps = [case.build() for case in CASES if case.name.startswith("ramp ")]
    syntaxes = {read_header(data, DEFAULT).transfer_syntax for data in ramps}
    assert syntaxes == NATIVE | COMPRESSED


def test_the_corpus_depends_on_its_seed_alone() -> None:
    def digest(listed: list[Case]) -> str:
        total = hashlib.sha256()
        for case in listed[:: len(listed) // 300]:
            if not case.is_expensive:
                total.update(case.name.encode() + case.build())
        return total.hexdigest()

    assert digest(cases()) == digest(CASES)
    assert digest(cases(seed=2)) != digest(CASES)


def test_markers_are_planted_in_most_files() -> None:
    some = [case for case in ORDINARY if "deflated" not in case.name][::10]
    planted = [MARKER.encode() in case.build() for case in some]
    assert sum(planted) > len(planted) / 2


MADE_MR = [path for path in corpus_pydicom.files() if path.name in corpus_pydicom.MADE_MR]
# pydicom's own decoders do not read 12-bit JPEG.
COMPARED = [path for path in MADE_MR if path.name not in ("JPEG-lossy.dcm", "JPGExtended.dcm")]


@pytest.mark.parametrize("path", COMPARED, ids=lambda path: path.name)
def test_pixels_of_files_made_mr_equal_those_of_pydicom(path: Path) -> None:
    data = corpus_pydicom.made_mr(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = pydicom.dcmread(BytesIO(data))
        expected = apply_rescale(ds.pixel_array, ds)
    if ds.PhotometricInterpretation == "MONOCHROME1":
        expected = expected.max() + expected.min() - expected
    first = expected.reshape(-1, ds.Rows, ds.Columns)[0].astype(np.float32)
    pixels = read_image(data).pixels
    stored = ds.pixel_array.reshape(-1, *first.shape)[0]
    is_padding = stored == ds.get("PixelPaddingValue", np.nan)
    np.testing.assert_allclose(pixels[~is_padding], first[~is_padding], rtol=1e-6)
