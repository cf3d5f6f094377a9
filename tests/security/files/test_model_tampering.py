"""A stored model that is not whole is refused; it never gives another answer."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

import bentoml
import numpy as np
import pytest

from model.errors import ModelError
from model.runtime import LoadedModel, load_model
from model.spec import CALIBRATION_FILE, HASHED_FILES, SPEC_FILE, STORE_FILE, load_spec
from model.store.find import find_directory

NAME = "spine_autoencoder"
FLIPS = 25
IN_THE_HASH = (*HASHED_FILES, SPEC_FILE)


@pytest.fixture
def home(model_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of this test's own, with one model in it."""
    stored = find_directory(NAME)
    folder = tmp_path / "models" / NAME
    shutil.copytree(stored, folder / stored.name)
    (folder / "latest").write_text(stored.name)
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def folder(home: Path) -> Path:
    """The folder of the stored model."""
    return find_directory(NAME)


@pytest.fixture
def whole(folder: Path) -> LoadedModel:
    """The model before anything happens to it."""
    return load_model(folder)


def refuses_or_answers_alike(whole: LoadedModel) -> bool:
    """Load the model as the service does.

    Returns:
        Whether it was refused; if not, it was the same model to the last bit.
    """
    message = ""
    try:
        loaded = load_model(find_directory(NAME))
    except ModelError as error:
        message = str(error)
    if message:
        assert len(message.splitlines()) == 1
        return True
    assert loaded.spec == whole.spec
    np.testing.assert_array_equal(loaded.score(whole.golden_x), whole.score(whole.golden_x))
    ours, theirs = loaded.calibration.to_arrays(), whole.calibration.to_arrays()
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)
    return False


def flips(path: Path, count: int = FLIPS) -> Iterator[tuple[int, int]]:
    """Flip one bit of a file after the other, at seeded places; the file is whole in the end.

    Yields:
        (offset, bit) while that one is flipped.
    """
    content = path.read_bytes()
    rng = random.Random(path.name)  # noqa: S311 (a test's choice)
    places = {0, len(content) - 1, *(rng.randrange(len(content)) for _ in range(count))}
    for offset in sorted(places):
        bit = rng.randrange(8)
        changed = bytearray(content)
        changed[offset] ^= 1 << bit
        path.write_bytes(changed)
        yield offset, bit
    path.write_bytes(content)


@pytest.mark.parametrize("name", IN_THE_HASH)
def test_one_flipped_bit_anywhere_in_what_the_model_is_made_of_is_refused(
    folder: Path, whole: LoadedModel, name: str
) -> None:
    for offset, bit in flips(folder / name):
        assert refuses_or_answers_alike(whole), (name, offset, bit)
    assert not refuses_or_answers_alike(whole)


def test_one_flipped_bit_in_the_store_s_record_is_refused_or_changes_nothing(
    folder: Path, whole: LoadedModel
) -> None:
    refused = {flip: refuses_or_answers_alike(whole) for flip in flips(folder / STORE_FILE, 200)}
    assert any(refused.values())


def test_one_flipped_bit_in_the_name_of_the_latest_version_is_refused(
    folder: Path, whole: LoadedModel
) -> None:
    for offset, bit in flips(folder.parent / "latest", 100):
        assert refuses_or_answers_alike(whole), (offset, bit)


@pytest.mark.parametrize("name", [*IN_THE_HASH, STORE_FILE])
def test_a_file_that_is_cut_emptied_longer_or_gone_is_refused(
    folder: Path, whole: LoadedModel, name: str
) -> None:
    path = folder / name
    content = path.read_bytes()
    lengths = {0, 1, len(content) // 3, len(content) // 2, len(content) - 1}
    damaged = [content[:length] for length in sorted(lengths)]
    damaged += [content + b"\0", bytes(len(content)), content[::-1]]
    for changed in damaged:
        path.write_bytes(changed)
        # The last byte of the record is the end of a line, and nothing is lost with it.
        if not (name == STORE_FILE and changed == content[:-1]):
            assert refuses_or_answers_alike(whole), (name, len(changed))
    path.unlink()
    assert refuses_or_answers_alike(whole)
    path.mkdir()
    assert refuses_or_answers_alike(whole)


def latest(content: bytes) -> Callable[[Path], None]:
    """Write something else where the newest version is named."""

    def damage(home: Path) -> None:
        (home / "models" / NAME / "latest").write_bytes(content)

    return damage


MISSING: dict[str, Callable[[Path], None]] = {
    "store": lambda home: shutil.rmtree(home / "models"),
    "name": lambda home: shutil.rmtree(home / "models" / NAME),
    "version": lambda home: shutil.rmtree(find_directory(NAME)),
    "latest": lambda home: (home / "models" / NAME / "latest").unlink(),
    "text of latest": latest(b""),
    "sense of latest": latest(b"\xff\0/.."),
    "its own folder": latest(b".."),
}


@pytest.mark.parametrize("missing", MISSING)
def test_a_missing_model_is_refused(home: Path, whole: LoadedModel, missing: str) -> None:
    MISSING[missing](home)
    assert refuses_or_answers_alike(whole)


def test_the_files_of_another_model_are_refused(folder: Path, whole: LoadedModel) -> None:
    # Whole as they are, with each other: only the hashes show that they were exchanged.
    for one, other in combinations(HASHED_FILES, 2):
        first, second = (folder / one).read_bytes(), (folder / other).read_bytes()
        (folder / one).write_bytes(second)
        (folder / other).write_bytes(first)
        assert refuses_or_answers_alike(whole), (one, other)
        (folder / one).write_bytes(first)
        (folder / other).write_bytes(second)


def test_the_calibration_of_another_model_is_refused(folder: Path, whole: LoadedModel) -> None:
    # Whole in itself, and of the same channels: its p-values would be others.
    arrays = whole.calibration.to_arrays()
    arrays["scores"] = arrays["scores"] + 1
    np.savez_compressed(folder / CALIBRATION_FILE, **arrays)  # type: ignore[arg-type]  # numpy's stub takes any keyword for allow_pickle
    assert refuses_or_answers_alike(whole)


@pytest.fixture
def record(model_store: Path) -> Iterator[Path]:
    """BentoML's record in the store that it has open; whole again after the test."""
    path = find_directory(NAME) / STORE_FILE
    content = path.read_bytes()
    yield path
    path.write_bytes(content)


def test_what_passes_our_check_is_read_by_bentoml_under_its_own_name(record: Path) -> None:
    # Or `bentoml serve` would end with a traceback where one line is promised.
    tag = f"{NAME}:{record.parent.name}"
    for offset, bit in flips(record, 300):
        try:
            load_spec(record.parent)
        except ModelError:
            continue
        try:
            found = bentoml.models.get(tag)
        except Exception as error:
            pytest.fail(f"bit {bit} of byte {offset}: {type(error).__name__}")
        assert str(found.tag) == tag, (offset, bit)
