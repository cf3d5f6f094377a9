"""`python -m serving` finds where to write, and says in one line why it cannot serve."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from serving.process.places import StartError, find_places
from serving.process.preflight import read_address
from serving.process.rehearsal import RehearsalError, rehearse
from tests.root import ROOT
from tests.serving.process.test_preflight import assert_one_line, run
from tests.serving.server import free_port


@pytest.fixture
def closed(tmp_path: Path) -> str:
    """A folder that cannot be made, whoever asks: its parent is a file."""
    (tmp_path / "file").write_bytes(b"")
    return str(tmp_path / "file" / "folder")


def test_the_first_place_that_can_be_written_to_is_taken(closed: str, tmp_path: Path) -> None:
    place = str(tmp_path / "place")
    assert find_places({}, [closed, place, "/tmp"]) == {  # noqa: S108
        "TMPDIR": place,
        "BENTOML_HOME": f"{place}/bentoml-{os.getuid()}",
    }


def test_what_the_operator_chose_is_kept(closed: str, tmp_path: Path) -> None:
    chosen = {"TMPDIR": str(tmp_path / "a"), "BENTOML_HOME": str(tmp_path / "b")}
    assert find_places(chosen, [closed]) == chosen


def test_it_leaves_no_file_behind(tmp_path: Path) -> None:
    find_places({}, [str(tmp_path)])
    assert [path.name for path in tmp_path.rglob("*")] == [f"bentoml-{os.getuid()}"]


@pytest.mark.parametrize("name", ["TMPDIR", "BENTOML_HOME"])
def test_a_choice_that_cannot_be_written_to_is_refused(
    name: str, closed: str, tmp_path: Path
) -> None:
    with pytest.raises(StartError, match="file/folder"):
        find_places({"TMPDIR": str(tmp_path)} | {name: closed})


def test_nowhere_to_write(closed: str) -> None:
    with pytest.raises(StartError, match="mount a tmpfs at /tmp"):
        find_places({}, [closed])


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({}, ("0.0.0.0", 8000)),  # noqa: S104
        ({"PORT": "", "BENTOML_HOST": ""}, ("0.0.0.0", 8000)),  # noqa: S104
        ({"PORT": "1"}, ("0.0.0.0", 1)),  # noqa: S104
        ({"PORT": "65535", "BENTOML_HOST": "::"}, ("::", 65535)),
        ({"BENTOML_HOST": "127.0.0.1"}, ("127.0.0.1", 8000)),
    ],
)
def test_an_address(environ: dict[str, str], address: tuple[str, int]) -> None:
    assert read_address(None, None, environ) == address


def test_the_command_line_wins() -> None:
    environ = {"PORT": "1", "BENTOML_HOST": "::"}
    assert read_address("127.0.0.1", "2", environ) == ("127.0.0.1", 2)


@pytest.mark.parametrize(
    "text", ["0", "65536", "-1", "80.5", "http", "٨٠", "9" * 5000, " 80", "80\n"]
)
def test_what_is_no_port(text: str) -> None:
    with pytest.raises(StartError, match="from 1 to 65535") as refused:
        read_address(None, None, {"PORT": text})
    assert len(str(refused.value)) < 120


@pytest.mark.parametrize("text", ["localhost", "1.2.3", "a" * 5000])
def test_what_is_no_host(text: str) -> None:
    with pytest.raises(StartError, match="is not an IP address") as refused:
        read_address(None, None, {"BENTOML_HOST": text})
    assert len(str(refused.value)) < 120


@pytest.mark.parametrize(
    ("environ", "word"),
    [
        ({"PORT": "many"}, "'many'"),
        ({"SPINE_QUEUE": "long"}, "SPINE_QUEUE"),
        ({"SPINE_MODEL": "nosuch"}, "nosuch"),
    ],
)
def test_the_command_ends_in_one_line(environ: dict[str, str], word: str, tmp_path: Path) -> None:
    environ = {"PORT": str(free_port()), "BENTOML_HOME": str(tmp_path)} | environ
    assert_one_line(run("serving", **environ), "service: ", word)


def test_a_home_that_somebody_else_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / f"bentoml-{os.getuid()}").symlink_to(tmp_path / "theirs")
    with pytest.raises(StartError, match="is not this user's alone; set BENTOML_HOME"):
        find_places({}, [str(tmp_path)])


def test_a_home_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    home = tmp_path / f"bentoml-{os.getuid()}"
    home.mkdir()
    home.chmod(0o777)
    with pytest.raises(StartError, match="is not this user's alone"):
        find_places({}, [str(tmp_path)])


def test_a_signal_waits_from_the_first_moment_on() -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGTERM); print('lives')"
    done = subprocess.run(  # noqa: S603 - our own code
        [
            sys.executable,
            "-c",
            f"from serving.process.signals import hold_signals; hold_signals(); {code}",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "lives\n"


def test_a_rehearsal_says_that_the_server_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path))  # a store without a model
    with pytest.raises(RehearsalError, match="the server ended with 1"):
        rehearse()
