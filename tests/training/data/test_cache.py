from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from preprocessing import InputSpec, read_image, to_input
from tests.dicom_files import make_dicom
from training.data.cache import COPY, Encoded, decode
from training.data.collection import load_images
from training.data.in_order import in_order
from training.errors import ChangedWhileRead, NoImages

SPEC = InputSpec(size=32)


def encoded(files: list[Path]) -> list[Encoded]:
    """Files of one frame, as they are now."""
    return [Encoded(file, hashlib.sha256(file.read_bytes()).hexdigest(), (1,)) for file in files]


@pytest.fixture
def files(phantom_folder: Path, tmp_path: Path) -> list[Path]:
    folder = tmp_path / "data"
    folder.mkdir()
    return [Path(shutil.copy(file, folder)) for file in sorted(phantom_folder.glob("*.dcm"))[:4]]


def test_inputs_are_those_of_serving_in_half_precision(files: list[Path], tmp_path: Path) -> None:
    x = decode(encoded(files), SPEC, tmp_path / "cache").open()
    assert x.dtype == np.float16
    assert isinstance(x, np.memmap)
    for row, file in zip(x, files, strict=True):
        served = to_input(read_image(file.read_bytes()), SPEC)
        assert np.array_equal(row, served.astype(np.float16))
        assert np.abs(row - served).max() < 2**-11


def test_what_was_decoded_is_not_decoded_again(files: list[Path], tmp_path: Path) -> None:
    first = decode(encoded(files), SPEC, tmp_path / "cache")
    written = first.path.stat().st_mtime_ns
    steps: list[tuple[int, int]] = []
    again = decode(encoded(files), SPEC, tmp_path / "cache", lambda *step: steps.append(step))
    assert again == first
    assert again.path.stat().st_mtime_ns == written
    assert steps == [(4, 4)]


def test_a_changed_file_is_decoded_again_whatever_its_date(
    files: list[Path], tmp_path: Path
) -> None:
    first = decode(encoded(files), SPEC, tmp_path / "cache")
    shutil.copy2(files[1], files[0])
    again = decode(encoded(files), SPEC, tmp_path / "cache")
    assert again.path != first.path
    assert again.entries[1].rows == (COPY,)
    assert len(first.open()) == 4
    assert len(again.open()) == 3


def test_another_input_size_is_another_cache(files: list[Path], tmp_path: Path) -> None:
    small = decode(encoded(files), SPEC, tmp_path / "cache")
    large = decode(encoded(files), InputSpec(size=48), tmp_path / "cache")
    assert small.open().shape == (4, 1, 32, 32)
    assert large.open().shape == (4, 1, 48, 48)


@pytest.mark.parametrize("damage", ["bytes", "cut", "index", "gone"])
def test_what_is_damaged_is_decoded_again(files: list[Path], tmp_path: Path, damage: str) -> None:
    first = decode(encoded(files), SPEC, tmp_path / "cache")
    expected = np.array(first.open())
    content = bytearray(first.path.read_bytes())
    content[-1] ^= 1
    index = first.path.with_suffix(".json")
    match damage:
        case "bytes":
            first.path.write_bytes(content)
        case "cut":
            first.path.write_bytes(content[:1000])
        case "index":
            index.write_text(json.dumps({"sha256": first.sha256}))
        case "gone":
            index.unlink()
    again = decode(encoded(files), SPEC, tmp_path / "cache")
    assert again == first
    assert np.array_equal(again.open(), expected)


def test_a_run_that_was_cut_off_while_decoding_leaves_nothing_that_counts(
    files: list[Path], tmp_path: Path
) -> None:
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decode(encoded(files), SPEC, tmp_path / "cache", stop)
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".part"]
    assert len(decode(encoded(files), SPEC, tmp_path / "cache").open()) == 4


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_bytes(b"other")])
def test_a_file_that_changes_while_it_is_read_stops_the_run(
    files: list[Path], tmp_path: Path, change: Callable[[Path], object]
) -> None:
    wanted = encoded(files)
    change(files[3])
    with pytest.raises(ChangedWhileRead, match=r"00003\.dcm changed while it was read; run again"):
        decode(wanted, SPEC, tmp_path / "cache")


def test_each_file_counts_once_in_the_progress(files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "data" / "notes.txt").write_text("no image")
    steps: list[tuple[int, int]] = []
    load_images([tmp_path / "data"], SPEC, progress=lambda *step: steps.append(step))
    assert steps == [(2, 5), (3, 5), (4, 5), (5, 5)]


def test_no_more_than_a_few_results_wait() -> None:
    from concurrent.futures import ThreadPoolExecutor

    started: list[int] = []

    def work(number: int) -> int:
        started.append(number)
        return number

    with ThreadPoolExecutor(2) as pool:
        results = in_order(pool, work, range(1000))
        assert [next(results) for _ in range(3)] == [0, 1, 2]
        assert max(started) < 40
        assert list(results) == list(range(3, 1000))


def test_a_collection_without_a_cache_leaves_no_file_and_stays_readable(
    files: list[Path],
) -> None:
    images = load_images(files, SPEC)
    assert not images.path.parent.exists()
    assert np.isfinite(images.x).all()


def test_the_cache_holds_no_identity(files: list[Path], tmp_path: Path) -> None:
    images = load_images(files, SPEC, cache=tmp_path / "cache", salt="a")
    content = b"".join(path.read_bytes() for path in (tmp_path / "cache").iterdir())
    assert images.sources[0].group.startswith("patient:PHANTOM")
    assert b"PHANTOM" not in content
    assert b"phantom" not in content


def test_the_same_image_has_another_hash_with_another_salt(files: list[Path]) -> None:
    a, again, b = (load_images(files, SPEC, salt=salt).sources for salt in "aab")
    assert [s.sop_hash for s in a] == [s.sop_hash for s in again]
    assert len({s.sop_hash for s in (*a, *b)}) == 8


def test_pixels_that_are_no_numbers_are_skipped_with_their_reason(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).random((40, 40)).astype(np.float32)
    (tmp_path / "good.dcm").write_bytes(make_dicom(pixels))
    pixels[3, 3] = np.nan
    (tmp_path / "nan.dcm").write_bytes(make_dicom(pixels))
    images = load_images([tmp_path], SPEC)
    assert [source.path for source in images.sources] == ["good.dcm"]
    assert [(s.path, s.code) for s in images.skipped] == [("nan.dcm", "not_finite")]
    (tmp_path / "good.dcm").unlink()
    with pytest.raises(NoImages, match="1 not_finite"):
        load_images([tmp_path], SPEC)
