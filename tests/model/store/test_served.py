"""What SPINE_MODEL may name, and where a mounted file is unpacked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from model.errors import DamagedModel, ModelError, ModelNotFound
from model.spec import hash_file, load_spec
from model.store.find import find_directory
from model.store.promotion import tag_stage
from model.store.served import find_served, names_file
from model.store.transfer import export_model
from tests.model.store.versions import save_version

N_STARTS = 6
FIND = "import sys; from model.store.served import find_served; print(find_served(sys.argv[1]))"


@pytest.fixture(scope="module")
def file(model_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model outside of the store."""
    save_version("mounted:v1")
    return export_model("mounted:v1", tmp_path_factory.mktemp("mounted") / "site.bentomodel")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store without any model."""
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_slash_or_the_suffix_makes_it_a_file() -> None:
    assert not any(map(names_file, ("a", "a:v1", "a:production", "a.b:v1")))
    assert all(map(names_file, ("a.bentomodel", "./a", "/m/a")))


def test_a_tag_and_a_stage_are_those_of_the_store(model_store: Path) -> None:
    save_version("to_serve:v1")
    save_version("to_serve:v2")
    tag_stage("to_serve:v1", "production")
    assert find_served("to_serve") == find_directory("to_serve:v2")
    assert find_served("to_serve:v1") == find_directory("to_serve:v1")
    assert find_served("to_serve:production") == find_directory("to_serve:v1")


def test_the_store_of_an_image_comes_before_that_of_the_home(
    model_store: Path, file: Path, home: Path, tmp_path: Path
) -> None:
    mounted, own = home / "models", tmp_path / "image" / "models"
    shutil.copytree(model_store / "models" / "mounted", mounted / "mounted")
    shutil.copytree(mounted / "mounted", own / "mounted")
    shutil.copytree(mounted / "mounted", mounted / "site")
    assert find_served("mounted", [own]) == own / "mounted" / "v1"
    assert find_served("site:v1", [own]) == mounted / "site" / "v1"
    with pytest.raises(ModelNotFound, match="no version of mounted holds the stage production"):
        find_served("mounted:production", [own])


def test_a_file_is_unpacked_beside_the_store_and_found_again(file: Path, home: Path) -> None:
    folder = find_served(str(file))
    assert folder == home / "unpacked" / hash_file(file)
    assert not (home / "models").exists(), "what is tried is not what `latest` means"
    written = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert find_served(str(file)) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == written


def test_a_relative_path_is_one_from_the_current_folder(
    file: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    assert find_served("site.bentomodel") == find_served(f"./{file.name}") == find_served(str(file))


def test_what_was_unpacked_and_is_damaged_is_unpacked_again(file: Path, home: Path) -> None:
    folder = find_served(str(file))
    (folder / "model.onnx").write_bytes(b"")
    (folder.parent / "unpacking-by-a-killed-process").mkdir()
    assert find_served(str(file)) == folder
    load_spec(folder)
    assert {path.name for path in folder.parent.iterdir()} == {folder.name, ".import.lock"}


def test_starts_at_the_same_time_share_one_folder(file: Path, home: Path) -> None:
    starts = [
        subprocess.Popen(  # noqa: S603 (our own code)
            [sys.executable, "-c", FIND, str(file)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(N_STARTS)
    ]
    found = {start.communicate()[0].strip() for start in starts}
    assert found == {str(home / "unpacked" / hash_file(file))}
    assert [start.returncode for start in starts] == [0] * N_STARTS
    load_spec(Path(found.pop()))


def test_a_damaged_file_leaves_nothing_behind(file: Path, home: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.bentomodel").write_bytes(file.read_bytes()[:5000])
    with pytest.raises(DamagedModel, match="is not a whole"):
        find_served(str(tmp_path / "cut.bentomodel"))
    assert {path.name for path in (home / "unpacked").iterdir()} == {".import.lock"}


def test_a_missing_file_is_named(home: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"/nowhere/site\.bentomodel is not a file"):
        find_served("/nowhere/site.bentomodel")


def test_a_home_that_cannot_be_written_leaves_the_temporary_folder(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").write_text("no folder")
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "home"))
    (temporary := tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    private = temporary / f"spine-unpacked-{os.getuid()}"
    assert find_served(str(file)).parent == private
    assert private.stat().st_mode & 0o777 == 0o700


def test_a_temporary_folder_that_others_may_write_to_is_not_used(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").write_text("no folder")
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (shared := tmp_path / f"spine-unpacked-{os.getuid()}").mkdir()
    shared.chmod(0o777)
    with pytest.raises(ModelError, match="nothing can be written to BENTOML_HOME or TMPDIR"):
        find_served(str(file))
    shared.rmdir()
    shared.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(ModelError, match="nothing can be written to BENTOML_HOME or TMPDIR"):
        find_served(str(file))
