"""The files that the benchmarks send."""

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.slices import (
    MIX,
    MOST_FILES,
    SYNTAXES,
    FileSet,
    alike,
    describe,
    encoded,
    mix,
    of_folder,
    write,
)
from preprocessing import open_image, read_image
from tests.dicom_files import make_dicom, noise


@pytest.fixture(scope="module")
def mixed() -> FileSet:
    return mix()


def test_every_file_of_the_mix_is_read_at_its_size(mixed: FileSet) -> None:
    shapes = [read_image(file).pixels.shape for file in mixed.files]
    assert shapes == [(size, size) for size, _ in MIX]


def test_the_mix_is_ten_uncompressed_five_rle_and_one_jpeg_2000(mixed: FileSet) -> None:
    found = Counter(open_image(file).header.transfer_syntax for file in mixed.files)
    assert found == {
        "1.2.840.10008.1.2.1": 10,
        "1.2.840.10008.1.2.5": 5,
        "1.2.840.10008.1.2.4.90": 1,
    }
    assert "16 files (10 uncompressed, 5 RLE, 1 JPEG 2000)" in mixed.description


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_an_encoding_changes_no_pixel(syntax: str) -> None:
    file = encoded(1, 256, syntax)
    assert open_image(file).header.transfer_syntax == SYNTAXES[syntax]
    assert (read_image(file).pixels == read_image(encoded(1, 256)).pixels).all()


def test_compressing_saves_no_more_than_it_does_of_a_noisy_scan(mixed: FileSet) -> None:
    for file, (size, syntax) in zip(mixed.files, MIX, strict=True):
        if syntax != "uncompressed":
            assert len(file) > 0.45 * 2 * size * size


def test_the_same_arguments_give_the_same_bytes() -> None:
    assert encoded(3, 256, "JPEG 2000") == encoded(3, 256, "JPEG 2000")


def test_those_of_370_kb_are_alike_in_size_and_differ_in_content() -> None:
    files = alike().files
    assert {len(file) // 1000 for file in files} == {374}
    assert len(set(files)) == len(files)


def test_a_users_folder_is_read_and_described_without_a_name(tmp_path: Path) -> None:
    for number in range(MOST_FILES + 10):
        name = tmp_path / f"slice_{number:03}.dcm"
        name.write_bytes(make_dicom(noise((16, 16 + number))))
    found = of_folder(tmp_path)
    assert len(found.files) == MOST_FILES
    assert len(set(found.files)) == MOST_FILES
    assert found.description == f"real slices, {describe(found.files)}"
    assert "slice_" not in found.description


def test_files_are_written_in_their_order(tmp_path: Path) -> None:
    paths = write([b"one", b"two"], tmp_path / "files")
    assert [path.read_bytes() for path in paths] == [b"one", b"two"]
    assert paths == sorted(paths)
