"""No fast path changes an answer: each is compared with the plain one, from the file to the scores.

Those of one function alone are next to its tests: percentiles and bands in test_transforms.py,
p-values in test_conformal.py, the graph in test_detector.py, batches in test_runtime.py.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from pydicom.data import get_testdata_files
from python_multipart.multipart import Field, File, parse_form

from model.anatomy import CANAL, DISC, VERTEBRA
from model.runtime import LoadedModel, load_model
from model.scoring import COLUMNS, Outputs, Reference
from model.store.archive import unpack_model
from preprocessing import ImageError, InputSpec, Slice, read_frames, read_image, to_input
from preprocessing.dicom import tags
from preprocessing.dicom.header import read_header
from preprocessing.dicom.values import Item
from preprocessing.limits import DEFAULT
from preprocessing.resizing import resize_matrix
from preprocessing.transforms import fitted_shape
from serving.http.multipart import parse_multipart
from tests.dicom_files import NATIVE, encapsulated, make_dicom
from tests.preprocessing.decoding.codestreams import LOSSLESS, RAMP
from tests.root import ROOT
from training.phantoms.phantom import make_phantom, phantom_bytes

FloatArray = NDArray[np.float64]
FACTS = read_image(make_dicom(RAMP)).facts


def plain_input(image: Slice, spec: InputSpec) -> FloatArray:
    """Window, resize and pad in double precision, with whole matrices: [S, S]."""
    pixels = image.pixels.astype(np.float64)
    low, high = np.percentile(pixels, (spec.low_percentile, spec.high_percentile))
    if low == high:
        low, high = pixels.min(), pixels.max()
    scaled = np.clip((pixels - low) / (high - low), 0, 1) if high > low else 0 * pixels
    height, width = fitted_shape(pixels.shape, image.spacing_mm, spec.size)
    rows, columns = resize_matrix(pixels.shape[0], height), resize_matrix(pixels.shape[1], width)
    x = np.zeros((spec.size, spec.size))
    top, left = (spec.size - height) // 2, (spec.size - width) // 2
    x[top : top + height, left : left + width] = rows @ scaled @ columns.T
    return x


@pytest.mark.parametrize("slope", [1.0, 4.7326, 1e-3])
@pytest.mark.parametrize(
    "shape", [(256, 256), (320, 290), (384, 384), (448, 432), (576, 576), (90, 700), (1500, 1100)]
)
@pytest.mark.parametrize("spacing_mm", [(0.7, 0.7), (0.4, 0.9)])
def test_a_slice_becomes_the_input_that_whole_matrices_give(
    shape: tuple[int, int], spacing_mm: tuple[float, float], slope: float
) -> None:
    rng = np.random.default_rng(shape)
    stored = rng.gamma(1.5, 300, shape).astype(np.uint16) * (rng.random(shape) < 0.7)
    pixels = stored.astype(np.float32) * np.float32(slope)
    image = Slice(pixels, spacing_mm, 1, 1, FACTS)
    for spec in (InputSpec(192), InputSpec(64, 0.0, 100.0)):
        found = to_input(image, spec)[0]
        np.testing.assert_allclose(found, plain_input(image, spec), rtol=0, atol=2e-6)


PYDICOM_FILES = [path for path in map(Path, get_testdata_files()) if path.is_file()]


def assert_same_bytes(found: Item, ds: pydicom.Dataset, wanted: tags.Wanted) -> int:
    """Compare the kept values with those that pydicom has not converted yet; count them."""
    n_compared = 0
    for tag, nested in wanted.items():
        if tag not in ds:
            assert tag not in found
        elif nested:
            items = found.get(tag, [])
            assert isinstance(items, list)
            for item, inner in zip(items, ds[tag].value, strict=True):
                n_compared += assert_same_bytes(item, inner, nested)
        else:
            raw = ds.get_item(tag)
            assert raw is not None
            value = raw.value if isinstance(raw, pydicom.dataelem.RawDataElement) else None
            if value is not None or tag in found:
                assert (found.get(tag) or None) == (value or None), hex(tag)
                n_compared += 1
    return n_compared


@pytest.mark.parametrize("path", PYDICOM_FILES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_the_walk_keeps_the_bytes_that_pydicom_reads(path: Path) -> None:
    data = path.read_bytes()
    try:
        header = read_header(data, DEFAULT)
    except ImageError:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = pydicom.dcmread(io.BytesIO(data), force=True)
        assert assert_same_bytes(header.values, ds, tags.DATASET) or not header.values


@pytest.mark.parametrize(("syntax", "frame"), LOSSLESS.values(), ids=LOSSLESS)
def test_the_decoder_process_gives_the_samples_of_pydicom(syntax: str, frame: bytes) -> None:
    data = encapsulated(RAMP, syntax, [frame], BitsStored=12, HighBit=11)
    expected = pydicom.dcmread(io.BytesIO(data)).pixel_array
    np.testing.assert_array_equal(read_image(data).pixels, expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32])
@pytest.mark.parametrize("syntax", NATIVE.values(), ids=NATIVE)
def test_uncompressed_samples_are_those_of_pydicom(syntax: str, dtype: type) -> None:
    limits = np.iinfo(dtype)
    low, high = max(limits.min, -70_000), min(limits.max, 70_000)  # exact in float32
    pixels = np.random.default_rng(1).integers(low, high, (3, 7, 6), dtype, endpoint=True)
    data = make_dicom(pixels, syntax, RescaleSlope="2", RescaleIntercept="-5")
    expected = pydicom.dcmread(io.BytesIO(data)).pixel_array * 2.0 - 5
    found = [image.pixels for image in read_frames(data)]
    np.testing.assert_array_equal(found, expected)


names = st.text(st.characters(codec="ascii", exclude_characters='"\\;\r\n\0'), min_size=1)
contents = st.binary(max_size=200) | st.sampled_from([b"\r\n", b"--", b"\r\n--", b"\r\n--bound"])


@settings(deadline=None)
@given(st.lists(st.tuples(names, st.none() | names, contents), min_size=1, max_size=5))
def test_a_form_is_split_as_the_streaming_parser_splits_it(
    parts: list[tuple[str, str | None, bytes]],
) -> None:
    boundary, body = b"boundary", b""
    for name, filename, content in parts:
        assume(b"\r\n--" + boundary not in b"\r\n" + content + b"\r\n")
        body += b"--" + boundary + b'\r\nContent-Disposition: form-data; name="' + name.encode()
        body += b'"' if filename is None else b'"; filename="' + filename.encode() + b'"'
        body += b"\r\n\r\n" + content + b"\r\n"
    body += b"--" + boundary + b"--\r\n"
    expected: list[tuple[str, bool, bytes]] = []

    def on_field(field: Field) -> None:
        expected.append(((field.field_name or b"").decode(), False, field.value or b""))

    def on_file(file: File) -> None:
        file.file_object.seek(0)
        expected.append(((file.field_name or b"").decode(), True, file.file_object.read()))

    headers = {"Content-Type": b"multipart/form-data; boundary=" + boundary}
    parse_form(headers, io.BytesIO(body), on_field, on_file, chunk_size=7)
    found = parse_multipart(body, boundary)
    assert [(part.name, part.is_file, bytes(part.content)) for part in found] == expected


def boxes(values: FloatArray, height: int, width: int) -> FloatArray:
    """Sum over boxes of odd sides around each pixel, zero outside: [B, H, W], same out."""
    around = [(0, 0), (height // 2, height // 2), (width // 2, width // 2)]
    windows = sliding_window_view(np.pad(values, around), (height, width), axis=(1, 2))
    return np.asarray(windows.sum(axis=(3, 4)))


def plain_differences(half: FloatArray, body: FloatArray, disc: FloatArray) -> list[FloatArray]:
    """Spot, body and disc as `compare_neighbours` explains them, box by box."""

    def sums(mask: FloatArray, *box: int) -> tuple[FloatArray, FloatArray]:
        return boxes(half * mask, *box), boxes(mask, *box)

    def mean(total: FloatArray, area: FloatArray) -> FloatArray:
        return np.where(area > 0.5, total / np.maximum(area, 0.5), 0)

    spots, around, place, near = (sums(body, side, side) for side in (3, 9, 9, 15))
    wide = sums(body, 61, 41)
    others = wide[0] - near[0], wide[1] - near[1]
    is_spot = (body > 0) & (spots[1] > 0.9 * 9)
    is_body = (body > 0) & (place[1] > 0.6 * 81) & (others[1] > 30)
    discs = np.abs(mean(*sums(disc, 3, 3)) - mean(*sums(disc, 61, 41)))
    return [
        np.abs(mean(*spots) - mean(*around)) * is_spot,
        np.abs(mean(*place) - mean(*others)) * is_body,
        discs * disc,
    ]


def plain_front(vertebra: FloatArray, canal: FloatArray) -> FloatArray:
    """The side of the canal's middle that has more of the vertebrae, row by row: [H, W]."""
    rows = [row for row in range(len(canal)) if canal[row].any()]
    if not rows:
        return np.ones_like(canal)
    middles = [np.flatnonzero(canal[row]).mean() for row in rows]
    line = np.interp(range(len(canal)), rows, middles)[:, None]
    columns = np.arange(canal.shape[1])
    left, right = vertebra * (columns < line), vertebra * (columns >= line)
    return np.asarray(columns < line if left.sum() >= right.sum() else columns > line, np.float64)


def plain_scores(x: NDArray[np.float32], outputs: Outputs, reference: Reference) -> FloatArray:
    """All columns in double precision, by their definitions."""
    wide = {name: values.astype(np.float64) for name, values in outputs._asdict().items()}
    half = x[:, 0].astype(np.float64).reshape(len(x), x.shape[2] // 2, 2, -1, 2).mean(axis=(2, 4))
    labels = wide["tissues"].argmax(axis=1)
    vertebra, canal = 1.0 * (labels == VERTEBRA), 1.0 * (labels == CANAL)
    front = np.stack([plain_front(v, c) for v, c in zip(vertebra, canal, strict=True)])
    body, disc = vertebra * front, (labels == DISC) * front
    mse = np.square(wide["x_small"] - wide["x_hat"]).mean(axis=(1, 2, 3))
    logs = np.log(np.stack([mse, wide["residual"].max(axis=(1, 2, 3))], axis=1) + 1e-6)
    features = np.concatenate([wide["features"], logs, wide["faults"]], axis=1)
    z = (features[:, None] - reference.centres) / reference.scale.astype(np.float64)
    distances = np.square(np.einsum("bkd,ed->bke", z, reference.whitening)).sum(axis=2)
    contrast = []
    for picture, c, b in zip(half, canal > 0, body > 0, strict=True):
        enough = c.sum() >= 5 and b.sum() >= 5
        ratio = (picture[c].mean() + 1e-3) / (picture[b].mean() + 1e-3) if enough else 1.0
        contrast.append(np.log(ratio))
    return np.stack(
        [
            mse,
            np.log1p(np.exp(wide["faults"]).sum(axis=1)),
            wide["marks"].max(axis=(1, 2, 3)),
            distances.min(axis=1),
            *(shown.max(axis=(1, 2)) for shown in plain_differences(half, body, disc)),
            np.array(contrast),
            vertebra.mean(axis=(1, 2)),
        ],
        axis=1,
    )


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("released")
    unpack_model(ROOT / "pretrained" / "spine_autoencoder.bentomodel", folder)
    return folder


@pytest.fixture(scope="module")
def model(released: Path) -> LoadedModel:
    return load_model(released, "onnx")


@pytest.fixture(scope="module")
def slices(model: LoadedModel) -> NDArray[np.float32]:
    """Phantoms with and without anomalies, and what is not a spine."""
    kinds = ["none"] * 4 + ["lesion", "fracture", "ghosting", "axial"]
    files = [phantom_bytes(make_phantom(8, i, kind), 8, i) for i, kind in enumerate(kinds)]
    side = model.spec.input.size
    drawn = [to_input(read_image(file), model.spec.input) for file in files]
    noise = np.random.default_rng(8).random((2, 1, side, side), np.float32)
    return np.stack([*drawn, *noise, np.zeros((1, side, side)), np.ones((1, side, side))]).astype(
        np.float32
    )


def test_scores_are_those_of_their_definitions(
    model: LoadedModel, slices: NDArray[np.float32]
) -> None:
    expected = plain_scores(slices, model.compute(slices), model.reference)
    assert (expected[:4, 4:7] > 0).all(), "bodies and discs are found in phantoms"
    for column, name in enumerate(COLUMNS):
        np.testing.assert_allclose(
            model.score(slices)[:, column], expected[:, column], rtol=2e-5, atol=1e-6, err_msg=name
        )


def test_slices_score_the_same_alone_and_in_batches(
    model: LoadedModel, slices: NDArray[np.float32]
) -> None:
    alone = np.concatenate([model.score(one[None]) for one in slices])
    np.testing.assert_allclose(model.score(slices), alone, rtol=1e-5, atol=1e-6)


def test_the_served_runtime_scores_as_torch_does(
    model: LoadedModel, released: Path, slices: NDArray[np.float32]
) -> None:
    plain = load_model(released, "torch").score(slices)
    np.testing.assert_allclose(model.score(slices)[:, 0], plain[:, 0], rtol=1e-5)
    np.testing.assert_allclose(model.score(slices), plain, rtol=2e-3, atol=2e-3)
