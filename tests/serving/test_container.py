"""The image's first process finds room to write, and says in one line why it cannot serve."""

import os
from pathlib import Path

import pytest

from serving.container import ContainerError, find_room, read_port
from serving.rehearsal import RehearsalError, rehearse
from tests.serving.server import free_port
from tests.serving.test_preflight import assert_one_line, run


@pytest.fixture
def closed(tmp_path: Path) -> str:
    """A folder that cannot be made, whoever asks: its parent is a file."""
    (tmp_path / "file").write_bytes(b"")
    return str(tmp_path / "file" / "folder")


def test_the_first_place_that_can_be_written_to_is_taken(closed: str, tmp_path: Path) -> None:
    place = str(tmp_path / "place")
    assert find_room({}, [closed, place, "/tmp"]) == {  # noqa: S108
        "TMPDIR": place,
        "BENTOML_HOME": f"{place}/bentoml-{os.getuid()}",
    }


def test_what_the_operator_chose_is_kept(closed: str, tmp_path: Path) -> None:
    chosen = {"TMPDIR": str(tmp_path / "a"), "BENTOML_HOME": str(tmp_path / "b")}
    assert find_room(chosen, [closed]) == chosen


def test_it_leaves_no_file_behind(tmp_path: Path) -> None:
    find_room({}, [str(tmp_path)])
    assert [path.name for path in tmp_path.rglob("*")] == [f"bentoml-{os.getuid()}"]


@pytest.mark.parametrize("name", ["TMPDIR", "BENTOML_HOME"])
def test_a_choice_that_cannot_be_written_to_is_refused(
    name: str, closed: str, tmp_path: Path
) -> None:
    with pytest.raises(ContainerError, match="file/folder"):
        find_room({"TMPDIR": str(tmp_path)} | {name: closed})


def test_nowhere_to_write(closed: str) -> None:
    with pytest.raises(ContainerError, match="mount a tmpfs at /tmp"):
        find_room({}, [closed])


@pytest.mark.parametrize(
    ("text", "port"), [(None, 8000), ("", 8000), ("1", 1), ("10000", 10000), ("65535", 65535)]
)
def test_a_port(text: str | None, port: int) -> None:
    assert read_port({} if text is None else {"PORT": text}) == port


@pytest.mark.parametrize(
    "text", ["0", "65536", "-1", "80.5", "http", "٨٠", "9" * 5000, " 80", "80\n"]
)
def test_what_is_no_port(text: str) -> None:
    with pytest.raises(ContainerError, match="from 1 to 65535") as refused:
        read_port({"PORT": text})
    assert len(str(refused.value)) < 100


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
    assert_one_line(run("serving.container", **environ), "container: ", word)


def test_a_rehearsal_says_that_the_server_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path))  # a store without a model
    with pytest.raises(RehearsalError, match="the server ended with 1"):
        rehearse()
