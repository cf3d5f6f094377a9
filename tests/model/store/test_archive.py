"""A .bentomodel file that is damaged, foreign or hostile is refused in one line."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from model.errors import DamagedModel, ModelError, ModelNotFound, OtherFormat
from model.spec import SPEC_FILE, STORE_FILE, STORE_HASH_FILE, hash_file, load_spec
from model.store.archive import EXPORTED_STAGES_FILE, check_readable, unpack_model
from model.store.find import find_directory
from model.store.transfer import export_model, import_model
from tests.model.store.versions import save_version
from tests.mount_namespace import unshare

TAG = "archived:v1"


@pytest.fixture(scope="module")
def archive(model_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole archive, which no test changes."""
    save_version(TAG)
    return export_model(TAG, tmp_path_factory.mktemp("archive") / "whole.bentomodel")


def packed(path: Path, files: dict[str, bytes], mode: str = "w:xz") -> Path:
    """Write an archive of these files."""
    with tarfile.open(path, mode) as written:  # type: ignore[call-overload]  # its mode is a variable
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            written.addfile(member, io.BytesIO(content))
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_one_flipped_bit_anywhere_is_refused_or_changes_nothing(
    archive: Path, tmp_path: Path
) -> None:
    content = archive.read_bytes()
    whole = load_spec(find_directory(TAG))
    rng = random.Random(1)  # noqa: S311 (a test's choice)
    places = [*range(40), *(rng.randrange(len(content)) for _ in range(60))]
    refused = 0
    for n, place in enumerate(places):
        changed = bytearray(content)
        changed[place] ^= 1 << rng.randrange(8)
        (tmp_path / "flipped").write_bytes(changed)
        folder = tmp_path / str(n)
        folder.mkdir()
        try:
            unpack_model(tmp_path / "flipped", folder)
            assert load_spec(folder) == whole
        except ModelError:
            refused += 1
    assert refused > 60


@pytest.mark.parametrize("length", [0, 1, 100, 5000])
def test_a_cut_archive_is_not_whole(archive: Path, tmp_path: Path, length: int) -> None:
    (tmp_path / "cut.bentomodel").write_bytes(archive.read_bytes()[:length])
    with pytest.raises(DamagedModel, match=r"cut\.bentomodel is not a whole \.bentomodel file"):
        import_model(tmp_path / "cut.bentomodel")


NOT_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "is not a file"),
    "a folder": (Path.mkdir, "is a folder, not a .bentomodel file"),
    "a pipe": (os.mkfifo, "is not a file"),
    "a link to nothing": (lambda path: path.symlink_to("nowhere"), "is not a file"),
}


@pytest.mark.parametrize("kind", NOT_FILES)
def test_what_is_no_file_is_named(tmp_path: Path, kind: str) -> None:
    make, message = NOT_FILES[kind]
    make(tmp_path / "m.bentomodel")
    with pytest.raises(ModelNotFound, match=message):
        import_model(tmp_path / "m.bentomodel")


@pytest.mark.parametrize("locked", ["m.bentomodel", "."])
def test_a_file_that_the_user_may_not_read_is_named(
    archive: Path, tmp_path: Path, locked: str
) -> None:
    path = Path(shutil.copy(archive, tmp_path / "m.bentomodel"))
    (tmp_path / locked).chmod(0)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)  # root may read everything
    try:
        with pytest.raises(ModelNotFound, match=r"cannot be read \(permission denied\)"):
            check_readable(path)
    finally:
        if is_root:
            os.seteuid(0)
        (tmp_path / locked).chmod(0o700)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_other_compressions_are_read_too(archive: Path, tmp_path: Path, mode: str) -> None:
    path = packed(tmp_path / "m.tar", contents(find_directory(TAG)), mode)
    assert str(import_model(path)) == TAG
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DamagedModel, match="not a whole"):
        import_model(path)


def test_another_archive_unpacks_nothing_and_is_no_model(tmp_path: Path) -> None:
    path = packed(tmp_path / "data.tar", {"images/1.dcm": b"\0" * 1000, "custom_objects.pkl": b"."})
    (folder := tmp_path / "unpacked").mkdir()
    unpack_model(path, folder)
    assert list(folder.iterdir()) == []
    with pytest.raises(DamagedModel, match=r"model\.json cannot be read"):
        import_model(path)


def test_a_pickle_in_the_archive_does_not_reach_the_store(archive: Path, tmp_path: Path) -> None:
    files = contents(find_directory(TAG)) | {"custom_objects.pkl": b"cos\nabort\n(tR."}
    (folder := tmp_path / "unpacked").mkdir()
    unpack_model(packed(tmp_path / "m.bentomodel", files), folder)
    assert "custom_objects.pkl" not in contents(folder)
    load_spec(folder)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.bentomodel"
    with tarfile.open(path, "w:xz") as written:
        member = tarfile.TarInfo(SPEC_FILE)
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/hostname"
        written.addfile(member)
    (folder := tmp_path / "unpacked").mkdir()
    with pytest.raises(DamagedModel):
        unpack_model(path, folder)


def test_a_model_of_another_format_is_named_as_that(archive: Path, tmp_path: Path) -> None:
    text = json.dumps({"name": "old", "format_version": 1})
    (tmp_path / SPEC_FILE).write_text(text)
    record = contents(find_directory(TAG))[STORE_FILE].decode()
    old = hash_file(find_directory(TAG) / SPEC_FILE)
    (tmp_path / STORE_FILE).write_text(record.replace(old, hash_file(tmp_path / SPEC_FILE)))
    (tmp_path / STORE_HASH_FILE).write_text(hash_file(tmp_path / STORE_FILE))
    path = packed(tmp_path / "old.bentomodel", contents(tmp_path))
    with pytest.raises(OtherFormat, match="has format 1, this program reads 2"):
        import_model(path)


def test_a_version_called_like_a_stage_is_not_imported(archive: Path, tmp_path: Path) -> None:
    files = contents(find_directory(TAG))
    files[STORE_FILE] = files[STORE_FILE].replace(b"version: v1", b"version: production")
    del files[STORE_HASH_FILE]
    with pytest.raises(ModelError, match="production cannot be a version"):
        import_model(packed(tmp_path / "m.bentomodel", files))


@pytest.mark.parametrize("note", [b"", b"1", b"\xff", b"{"])
def test_a_damaged_note_of_stages_is_refused(archive: Path, tmp_path: Path, note: bytes) -> None:
    files = contents(find_directory(TAG)) | {EXPORTED_STAGES_FILE: note}
    with pytest.raises(DamagedModel, match=f"{EXPORTED_STAGES_FILE} is damaged"):
        import_model(packed(tmp_path / "m.bentomodel", files))


def test_an_unknown_stage_of_another_program_is_left_out(archive: Path, tmp_path: Path) -> None:
    files = contents(find_directory(TAG)) | {EXPORTED_STAGES_FILE: b'["canary", 7]'}
    assert str(import_model(packed(tmp_path / "m.bentomodel", files))) == TAG


def test_a_full_disk_is_named_as_that(archive: Path, tmp_path: Path) -> None:
    (small := tmp_path / "small").mkdir()
    unpack = (
        "from pathlib import Path; from model.store.archive import unpack_model;"
        f'unpack_model(Path("{archive}"), Path("{small}"))'
    )
    code = f"mount -t tmpfs -o size=64k tmpfs {small} && exec {sys.executable} -c '{unpack}'"
    done = subprocess.run(  # noqa: S603 (our own code)
        [*unshare(), "sh", "-c", code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.splitlines()[-1].endswith("(no space left on device)")
