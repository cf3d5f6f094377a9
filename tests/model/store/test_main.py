"""`python -m model.store` in processes of its own, on stores of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from model.store.find import find_directory
from model.store.transfer import export_model
from tests.model.store.versions import save_version
from tests.mount_namespace import unshare
from tests.root import ROOT


@pytest.fixture(scope="module")
def files(model_store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two versions of one model, as a site would bring them."""
    folder = tmp_path_factory.mktemp("brought")
    for n in (1, 2):
        save_version(f"site:v{n}", seed=n)
    one, two = (export_model(f"site:v{n}", folder / f"v{n}.bentomodel") for n in (1, 2))
    return one, two


def store(home: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 (our own module)
        [sys.executable, "-m", "model.store", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"BENTOML_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )


def done(home: Path, *arguments: str | Path) -> str:
    """Run what must succeed and say nothing on stderr; return what it printed."""
    run = store(home, *arguments)
    assert (run.returncode, run.stderr) == (0, ""), run
    return run.stdout.strip()


def refused(home: Path, *arguments: str | Path) -> str:
    """Run what must fail in one line; return the line."""
    run = store(home, *arguments)
    assert (run.returncode, run.stdout) == (1, ""), run
    assert len(run.stderr.splitlines()) == 1, run.stderr
    return run.stderr.strip()


def test_from_a_file_to_production_and_back(tmp_path: Path, files: tuple[Path, Path]) -> None:
    assert done(tmp_path, "list") == ""
    for n, file in enumerate(files, 1):
        assert done(tmp_path, "import", file) == f"site:v{n}"
        assert done(tmp_path, "tag", f"site:v{n}", "stage=production") == f"site:v{n}"
    assert done(tmp_path, "find", "site:production") == "site:v2"
    lines = done(tmp_path, "list").splitlines()
    assert lines[0].startswith("site:v2  production, latest  alarm_rate 0.05  alarm_rate_bound ")
    assert lines[1].startswith("site:v1  -  alarm_rate 0.05  alarm_rate_bound ")
    assert done(tmp_path, "rollback", "site") == "site:v1"
    assert done(tmp_path, "find", "site:production") == "site:v1"
    listed = json.loads(done(tmp_path, "list", "--json"))
    assert [(m["tag"], m["stages"], m["is_latest"], m["problem"]) for m in listed] == [
        ("site:v2", [], True, ""),
        ("site:v1", ["production"], False, ""),
    ]
    again = done(tmp_path, "export", "site:production", tmp_path / "again.bentomodel")
    assert done(tmp_path / "other", "import", again) == "site:v1"
    assert done(tmp_path / "other", "find", "site:production") == "site:v1"


def test_an_export_replaces_a_file_only_when_told(tmp_path: Path, files: tuple[Path, Path]) -> None:
    for file in files:
        done(tmp_path, "import", file)
    path = tmp_path / "exports" / "site.bentomodel"
    (path.parent / "folder").mkdir(parents=True)
    path.write_text("a year's work")
    line = refused(tmp_path, "export", "site:v1", path)
    assert line == f"model.store: {path} exists; --force replaces it"
    assert path.read_text() == "a year's work"
    assert done(tmp_path, "export", "site:v1", path, "--force") == str(path)
    assert done(tmp_path / "other", "import", path) == "site:v1"
    line = refused(tmp_path, "export", "site:v1", path.parent / "folder", "--force")
    assert "is not a file; name the .bentomodel file to write" in line
    assert {p.name for p in path.parent.iterdir()} == {"folder", "site.bentomodel"}


def test_an_export_that_is_stopped_leaves_the_old_file_and_no_other(
    tmp_path: Path, files: tuple[Path, Path]
) -> None:
    done(tmp_path, "import", files[0])
    target = tmp_path / "exports" / "site.bentomodel"
    target.parent.mkdir()
    target.write_text("old")
    with subprocess.Popen(  # noqa: S603 (our own module)
        [sys.executable, "-m", "model.store", "export", "site:v1", target, "--force"],
        cwd=ROOT,
        env=os.environ | {"BENTOML_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
    ) as export:
        while len(list(target.parent.iterdir())) == 1 and export.poll() is None:
            time.sleep(0.001)
        export.terminate()
        assert export.communicate()[0] == b""
    assert export.returncode == 128 + signal.SIGTERM
    assert [path.name for path in target.parent.iterdir()] == ["site.bentomodel"]
    assert target.read_text() == "old"


def test_a_stage_is_taken_away_whoever_holds_it(tmp_path: Path, files: tuple[Path, Path]) -> None:
    done(tmp_path, "import", files[0])
    done(tmp_path, "tag", "site:v1", "stage=production")
    assert done(tmp_path, "untag", "site", "stage=production") == "site:production"
    assert "no version of site holds the stage" in refused(tmp_path, "find", "site:production")
    line = refused(tmp_path, "untag", "site", "stage=production")
    assert line == "model.store: no version of site holds the stage production"
    assert "has no 'nobody'" in refused(tmp_path, "untag", "nobody", "stage=production")
    (tmp_path / "models" / "site" / "staging").write_text("damaged")
    assert done(tmp_path, "untag", "site", "stage=staging") == "site:staging"
    done(tmp_path, "tag", "site:v1", "stage=staging")


def test_only_what_a_server_takes_by_default_is_listed_as_served(
    model_store: Path, tmp_path: Path, files: tuple[Path, Path]
) -> None:
    done(tmp_path, "import", files[0])
    versions = tmp_path / "models" / "spine_autoencoder"
    for n in (1, 2):
        shutil.copytree(find_directory("spine_autoencoder"), versions / f"v{n}")
    (versions / "latest").write_text("v2")
    for served in ("v2", "v1"):
        listed = json.loads(done(tmp_path, "list", "--json"))
        assert [m["tag"] for m in listed if m["is_served"]] == [f"spine_autoencoder:{served}"]
        done(tmp_path, "tag", "spine_autoencoder:v1", "stage=production")


def test_imports_at_the_same_time_make_one_whole_model(
    tmp_path: Path, files: tuple[Path, Path]
) -> None:
    imports = [
        subprocess.Popen(  # noqa: S603 (our own module)
            [sys.executable, "-m", "model.store", "import", files[0]],
            cwd=ROOT,
            env=os.environ | {"BENTOML_HOME": str(tmp_path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    assert [process.communicate()[0] for process in imports] == ["site:v1\n"] * 4
    assert {path.name for path in (tmp_path / "models" / "site").iterdir()} == {"v1", "latest"}
    assert done(tmp_path, "list").startswith("site:v1  latest  alarm_rate")


def test_a_damaged_model_is_listed_with_what_is_wrong(
    tmp_path: Path, files: tuple[Path, Path]
) -> None:
    for file in files:
        done(tmp_path, "import", file)
    (tmp_path / "models" / "site" / "v1" / "model.yaml").write_text(":")
    listed = done(tmp_path, "list")
    assert "site:v1  -  model.yaml is not the file that was saved; import the model again" in listed
    assert "site:v2  latest  alarm_rate" in listed


def test_what_cannot_be_done_is_one_line(tmp_path: Path, files: tuple[Path, Path]) -> None:
    done(tmp_path, "import", files[0])
    line = refused(tmp_path, "tag", "site:v9", "stage=production")
    assert line.startswith("model.store: the model store has no site:v9; ")
    line = refused(tmp_path, "find", "site:production")
    assert line.startswith("model.store: no version of site holds the stage production; ")
    line = refused(tmp_path, "rollback", "site")
    assert line == "model.store: no earlier production of site is left to roll back to"
    assert "has no 'site:v1'; name a model without its" in refused(tmp_path, "rollback", "site:v1")
    assert "is not a file" in refused(tmp_path, "import", tmp_path / "none.bentomodel")
    assert "is a folder" in refused(tmp_path, "import", tmp_path)
    assert "refused site:v1" in refused(tmp_path, "export", "site:v1", "/proc/none/m.bentomodel")


@pytest.mark.parametrize("wrong", ["production", "stage=", "stage=prod", "label=production"])
def test_another_stage_is_a_usage_error(tmp_path: Path, wrong: str) -> None:
    for command in ("tag", "untag"):
        run = store(tmp_path, command, "site", wrong)
        assert run.returncode == 2
        assert "write stage=production or stage=staging" in run.stderr


def test_a_store_that_is_no_folder_is_one_line(tmp_path: Path, files: tuple[Path, Path]) -> None:
    (tmp_path / "file").write_text("")
    assert "the model store" in refused(tmp_path / "file", "import", files[0])


def read_only(home: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run with the home mounted read-only, as a container would have it."""
    command = " ".join(["exec", sys.executable, "-m", "model.store", *map(str, arguments)])
    mount = f"mount --bind {home} {home} && mount -o remount,bind,ro {home}"
    return subprocess.run(  # noqa: S603 (our own module)
        [*unshare(), "sh", "-c", f"{mount} && {command}"],
        cwd=ROOT,
        env=os.environ | {"BENTOML_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_read_only_store_is_read_and_refuses_changes_in_one_line(
    tmp_path: Path, files: tuple[Path, Path]
) -> None:
    done(tmp_path, "import", files[0])
    done(tmp_path, "tag", "site", "stage=production")
    found = read_only(tmp_path, "find", "site:production")
    assert found.stdout == "site:v1\n"
    assert read_only(tmp_path, "import", files[0]).stdout == "site:v1\n", "it is there"
    for change in (
        ("import", files[1]),
        ("tag", "site:v1", "stage=staging"),
        ("rollback", "site"),
        ("untag", "site", "stage=production"),
    ):
        run = read_only(tmp_path, *change)
        assert run.returncode == 1, run
        assert run.stderr.endswith("cannot be written to (read-only file system)\n")
        assert len(run.stderr.splitlines()) == 1


def test_each_command_has_an_example(tmp_path: Path) -> None:
    for command in ("import", "export", "list", "find", "tag", "untag", "rollback"):
        assert f"Example: python -m model.store {command}" in done(tmp_path, command, "--help")
    assert find_directory("site:v1").is_dir(), "the tests' own store is as it was"
