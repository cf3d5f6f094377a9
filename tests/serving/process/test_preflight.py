"""A server that cannot work says so in one line and exits with 1."""

import logging
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.store.find import find_directory
from serving.process.preflight import warn_if_open, warn_of_unknown_variables
from serving.settings import Settings
from tests.root import ROOT
from tests.serving.server import free_port


def run(*command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 (our own modules)
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def assert_one_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 1, done
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert all(word in done.stderr for word in words), done.stderr


@pytest.fixture
def damaged_home(model_store: Path, tmp_path: Path) -> Path:
    """A store whose model has one changed byte."""
    stored = find_directory("spine_autoencoder")
    name = tmp_path / "models" / "spine_autoencoder"
    shutil.copytree(stored, name / stored.name)
    (name / "latest").write_text(stored.name)
    onnx = name / stored.name / "model.onnx"
    content = bytearray(onnx.read_bytes())
    content[len(content) // 2] ^= 1
    onnx.write_bytes(content)
    return tmp_path


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_whole_model_and_a_free_port_pass_in_silence(model_store: Path) -> None:
    done = run("serving.process.preflight", "--port", str(free_port()))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "some.name"])  # noqa: S104
def test_a_port_that_others_reach_without_a_key_is_warned_of(
    caplog: pytest.LogCaptureFixture, host: str
) -> None:
    warn_if_open(host, Settings())
    (line,) = warnings(caplog)
    assert host in line
    assert "SPINE_API_KEY" in line


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", None])
def test_loopback_and_a_port_with_keys_are_not(
    caplog: pytest.LogCaptureFixture, host: str | None
) -> None:
    warn_if_open(host, Settings())
    warn_if_open("0.0.0.0", Settings(api_key=("a-key",)))  # noqa: S104
    assert warnings(caplog) == []


def test_a_variable_that_nothing_reads_is_named_with_the_nearest(
    caplog: pytest.LogCaptureFixture,
) -> None:
    environ = {"SPINE_QUEUES": "1", "SPINE_PORT_80_TCP": "tcp://10.0.0.1", "SPINE_QUEUE": "1"}
    warn_of_unknown_variables(environ | {"SPINE_MODEL_FOLDER": "/m", "HOME": "/"})
    assert warnings(caplog) == [
        "SPINE_PORT_80_TCP is not a setting and is ignored",
        "SPINE_QUEUES is not a setting and is ignored; did you mean SPINE_QUEUE?",
    ]


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("localhost", ("'localhost'", "not an IP address")),
        ("192.0.2.1", ("192.0.2.1", "not an address of this machine")),
    ],
)
def test_a_host_where_nobody_can_listen_is_named(
    model_store: Path, host: str, words: tuple[str, ...]
) -> None:
    done = run("serving.process.preflight", "--host", host, "--port", str(free_port()))
    assert_one_line(done, *words)


def test_a_taken_port_is_named(model_store: Path, taken_port: int) -> None:
    done = run("serving.process.preflight", "--port", str(taken_port))
    assert_one_line(done, f"127.0.0.1 port {taken_port}", "in use", "choose another port")


def test_what_is_no_port_is_one_line() -> None:
    done = run("serving.process.preflight", "--port", "abc")
    assert_one_line(done, "the port 'abc' is not a number from 1 to 65535")


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    assert_one_line(
        run("serving.process.preflight", BENTOML_HOME=str(tmp_path)), "spine_autoencoder"
    )


@pytest.mark.parametrize(
    ("name", "advice"),
    [("spine_autoencoder", "make serve imports"), ("nope", "python -m model.store list")],
)
def test_a_missing_model_comes_with_advice(tmp_path: Path, name: str, advice: str) -> None:
    done = run("serving.process.preflight", BENTOML_HOME=str(tmp_path), SPINE_MODEL=name)
    assert_one_line(done, f"no {name}", advice)


def test_a_damaged_model_is_named(damaged_home: Path) -> None:
    assert_one_line(run("serving.process.preflight", BENTOML_HOME=str(damaged_home)), "model.onnx")


def test_a_wrong_setting_is_named(model_store: Path) -> None:
    assert_one_line(run("serving.process.preflight", SPINE_QUEUE="long"), "SPINE_QUEUE", "'long'")


def test_bentoml_serve_itself_stops_at_a_damaged_model(damaged_home: Path) -> None:
    port = str(free_port())
    done = run(
        *("bentoml", "serve", "service:SpineAnomaly", "--port", port),
        BENTOML_HOME=str(damaged_home),
    )
    assert_one_line(done, "model.onnx")
