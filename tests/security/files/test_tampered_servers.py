"""A server whose model is not whole ends in one line or is never ready, and never answers."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.root import ROOT
from tests.security import process_tree
from tests.security.conftest import Serve
from tests.security.load.load import Answer, post
from tests.security.servers import Server
from tests.serving.server import free_port

pytestmark = pytest.mark.heavy

NAME = "spine_autoencoder"
# A sound server is ready after 3 s, on a busy machine later.
NEVER_READY_S = 8.0
ENDED_WITHIN_S = 60.0


@pytest.fixture
def home(store: Path, tmp_path: Path) -> Path:
    """A store with a copy of the released model."""
    shutil.copytree(store / "models", tmp_path / "models")
    return tmp_path


def folder(home: Path) -> Path:
    """Of the stored model."""
    return next(path for path in (home / "models" / NAME).iterdir() if path.is_dir())


def flip(name: str) -> Callable[[Path], None]:
    """Flip one bit in the middle of a file."""

    def damage(home: Path) -> None:
        path = folder(home) / name
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)

    return damage


def change(old: bytes, new: bytes) -> Callable[[Path], None]:
    """Change some bytes of BentoML's record."""

    def damage(home: Path) -> None:
        path = folder(home) / "model.yaml"
        content = path.read_bytes()
        assert old in content
        path.write_bytes(content.replace(old, new))

    return damage


def cut(name: str) -> Callable[[Path], None]:
    """Cut a file in half."""

    def damage(home: Path) -> None:
        path = folder(home) / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return damage


def latest(content: bytes) -> Callable[[Path], None]:
    """Write something else where the newest version is named."""

    def damage(home: Path) -> None:
        (home / "models" / NAME / "latest").write_bytes(content)

    return damage


DAMAGED: dict[str, Callable[[Path], None]] = {
    "no model": lambda home: shutil.rmtree(home / "models" / NAME),
    "no record": lambda home: (folder(home) / "model.yaml").unlink(),
    "no model.json": lambda home: (folder(home) / "model.json").unlink(),
    "no onnx": lambda home: (folder(home) / "model.onnx").unlink(),
    "onnx": flip("model.onnx"),
    "weights": flip("weights.safetensors"),
    "golden": flip("golden.npz"),
    "reference": flip("reference.npz"),
    "calibration": flip("calibration.npz"),
    "no calibration": lambda home: (folder(home) / "calibration.npz").unlink(),
    "cut reference": cut("reference.npz"),
    "model.json": flip("model.json"),
    "cut onnx": cut("model.onnx"),
    "cut model.json": cut("model.json"),
    "cut record": cut("model.yaml"),
    "creation time": change(b"creation_time: '2", b"creation_time: 'r"),
    "field of the record": change(b"\nmodule:", b"\nmodull:"),
    "name in the record": change(b"name: spine_", b"name: spine^"),
    "api version": change(b"api_version: v1", b"api_version: v3"),
    "latest": latest(b"\xff"),
    "latest of nothing": latest(b"nothing"),
    "no latest": lambda home: (home / "models" / NAME / "latest").unlink(),
}


def assert_one_line(code: int | None, stderr: str) -> None:
    assert code not in (None, 0)
    assert len(stderr.splitlines()) == 1, stderr
    assert "Traceback" not in stderr


# The version of BentoML's interface does not depend on the model; BentoML does not check it.
@pytest.mark.parametrize("damaged", sorted(DAMAGED.keys() - {"api version"}))
def test_preflight_says_in_one_line_what_is_wrong(home: Path, damaged: str) -> None:
    DAMAGED[damaged](home)
    done = subprocess.run(  # noqa: S603 (our own module)
        [sys.executable, "-m", "serving.process.preflight", "--port", str(free_port())],
        cwd=ROOT,
        env=os.environ | {"BENTOML_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert_one_line(done.returncode, done.stderr)


@dataclass
class Questions:
    """What a server that may be none answered to both questions."""

    is_listening: bool = False
    is_ready: bool = False
    scores: set[float] = field(default_factory=set)

    def ask(self, port: int, data: bytes) -> None:
        """Ask whether it is ready, and for a prediction."""
        url, headers = f"http://127.0.0.1:{port}", {"Content-Type": "application/dicom"}
        try:
            self.is_ready |= httpx.get(f"{url}/readyz", timeout=5).status_code == 200
            self.is_listening = True
            answer = httpx.post(f"{url}/predict", content=data, headers=headers, timeout=5)
        except httpx.TransportError:
            return
        if answer.status_code == 200:
            self.scores.add(answer.json()["reconstruction_mse"])


async def score(server: Server, file: bytes) -> float:
    """The answer of a server with the whole model."""
    answer = (await server.ask(post(file))).outcome
    assert isinstance(answer, Answer)
    return float(json.loads(answer.body)["reconstruction_mse"])


# A start takes 3 s: one of each kind.
@pytest.mark.parametrize(
    "damaged",
    [
        "no model",
        "no record",
        "onnx",
        "calibration",
        "cut reference",
        "cut model.json",
        "cut record",
        "creation time",
        "name in the record",
        "api version",
        "latest",
        "no latest",
    ],
)
async def test_bentoml_serve_ends_in_one_line_or_is_never_ready_or_has_the_same_model(
    server: Server, home: Path, slice_file: bytes, damaged: str
) -> None:
    DAMAGED[damaged](home)
    port = free_port()
    log = home / "stderr.txt"
    command = ["bentoml", "serve", "service:SpineAnomaly", "--host", "127.0.0.1"]
    with log.open("wb") as stderr:
        process = subprocess.Popen(  # noqa: S603 (our own service)
            [sys.executable, "-m", *command, "--port", str(port)],
            cwd=ROOT,
            env=os.environ | {"BENTOML_HOME": str(home)},
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        )
    questions = Questions()

    def is_settled() -> bool:
        questions.ask(port, slice_file)
        return process.poll() is not None or bool(questions.scores)

    pids: list[int] = []
    try:
        wait = process_tree.wait_until
        if not await asyncio.to_thread(wait, is_settled, NEVER_READY_S):
            # A busy machine: it may be still on its way.
            is_up = lambda: is_settled() or questions.is_listening  # noqa: E731
            await asyncio.to_thread(wait, is_up, ENDED_WITHIN_S)
        pids = process_tree.tree(process.pid)
        if process.poll() is not None:
            assert_one_line(process.returncode, log.read_text())
            assert questions == Questions()
        elif questions.is_ready or questions.scores:
            # BentoML finds the one sound version by itself where `latest` does not name it.
            assert questions.scores == {await score(server, slice_file)}
        else:
            assert questions.is_listening
    finally:
        process.terminate()
        process.wait(30)
        process_tree.kill(process_tree.all_ended(pids, 1))


@pytest.mark.parametrize("name", ["model.onnx", "calibration.npz", "model.json"])
async def test_a_model_that_is_damaged_under_a_running_server_is_never_used(
    serve: Serve, slice_file: bytes, tmp_path: Path, name: str
) -> None:
    server = serve(SPINE_WORKERS="2")
    assert await server.has_ready_workers(2, 15)
    sound = await score(server, slice_file)
    # The server's store is a link to one that other tests use: it gets its own, damaged.
    models = server.home / "models"
    copied = tmp_path / "copy"
    shutil.copytree(models, copied / "models")
    flip(name)(copied)
    models.unlink()
    (copied / "models").rename(models)
    victim = server.workers()[0]
    os.kill(victim, signal.SIGKILL)
    assert process_tree.wait_until(lambda: victim not in server.pids(), 15)
    seen: set[int | str] = set()
    until = time.monotonic() + ENDED_WITHIN_S
    rounds_left = 20  # once the new worker has looked at its model
    while rounds_left:
        assert time.monotonic() < until, server.log.read_text()
        rounds_left -= "never ready: " in server.log.read_text()
        for exchange in await server.ask_all([post(slice_file)] * 8):
            seen.add(exchange.status)
            outcome = exchange.outcome
            if isinstance(outcome, Answer) and outcome.status == 200:
                assert json.loads(outcome.body)["reconstruction_mse"] == pytest.approx(sound)
        await asyncio.sleep(0.1)
    assert 200 in seen
    assert seen <= {200, 503}
