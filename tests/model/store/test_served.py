"""What SPINE_MODEL may name, and where a mounted file is unpacked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from model.errors import DamagedModel, ModelError, ModelNotFound
from model.spec import hash_file, load_spec
from model.store.find import find_directory
from model.store.served import choose_served, names_file
from model.store.stages import tag_stage
from model.store.transfer import export_model
from tests.model.store.versions import save_version

N_STARTS = 6
FIND = (
    "import sys; from model.store.served import choose_served;"
    "print(choose_served(sys.argv[1]).folder)"
)


def find_served(wanted: str, stores: Sequence[Path] = ()) -> Path:
    return choose_served(wanted, stores).folder


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
    assert find_served("to_serve:latest") == find_directory("to_serve:v2")
    assert find_served("to_serve:v1") == find_directory("to_serve:v1")
    assert find_served("to_serve:production") == find_directory("to_serve:v1")


def test_a_name_alone_is_what_was_promoted_else_the_newest_and_the_reason_says_so(
    model_store: Path, file: Path
) -> None:
    for n in (1, 2):
        save_version(f"alone:v{n}", seed=n)
    newest = "serving alone:v2, the newest version"
    assert str(choose_served("alone")) == f"{newest} (no version holds the stage production)"
    assert str(choose_served("alone:latest")) == newest
    assert str(choose_served("alone:v1")) == "serving alone:v1, the version that SPINE_MODEL names"
    tag_stage("alone:v1", "production")
    tag_stage("alone:v2", "staging")
    assert str(choose_served("alone")) == "serving alone:v1, which holds the stage production"
    assert str(choose_served("alone:staging")) == "serving alone:v2, which holds the stage staging"
    assert str(choose_served(str(file))) == f"serving {file}, the file that SPINE_MODEL names"


def test_a_promoted_version_that_is_gone_is_not_replaced_by_the_newest(model_store: Path) -> None:
    for n in (1, 2):
        save_version(f"gone:v{n}", seed=n)
    tag_stage("gone:v1", "production")
    shutil.rmtree(find_directory("gone:v1"))
    with pytest.raises(ModelError, match="production of gone is v1, which the store does not hold"):
        choose_served("gone")
    assert find_served("gone:latest") == find_directory("gone:v2")


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
