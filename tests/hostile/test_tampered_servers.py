"""A server whose model is not whole ends in one line or is never ready, and never answers."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.hostile import process_tree
from tests.hostile.conftest import Serve
from tests.hostile.load import Answer, post
from tests.serving.server import free_port

pytestmark = pytest.mark.heavy

ROOT = Path(__file__).parents[2]
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


@pytest.mark.parametrize("damaged", DAMAGED)
def test_preflight_says_in_one_line_what_is_wrong(home: Path, damaged: str) -> None:
    DAMAGED[damaged](home)
    done = subprocess.run(  # noqa: S603 (our own module)
        [sys.executable, "-m", "serving.preflight", "--port", str(free_port())],
        cwd=ROOT,
        env=os.environ | {"BENTOML_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert_one_line(done.returncode, done.stderr)


def answers(url: str, data: bytes) -> Iterator[tuple[str, int]]:
    """What a server that may be none says to both questions."""
    for path, method in (("/readyz", "GET"), ("/predict", "POST")):
        headers = {"Content-Type": "application/dicom"}
        try:
            answer = httpx.request(method, url + path, content=data, headers=headers, timeout=5)
        except httpx.TransportError:
            continue
        yield path, answer.status_code


@pytest.mark.parametrize("damaged", DAMAGED)
def test_bentoml_serve_ends_in_one_line_or_is_never_ready(
    home: Path, slice_file: bytes, damaged: str
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
    pids: list[int] = []
    seen: set[tuple[str, int]] = set()

    def has_ended() -> bool:
        seen.update(answers(f"http://127.0.0.1:{port}", slice_file))
        return process.poll() is not None

    try:
        if not process_tree.wait_until(has_ended, NEVER_READY_S) and not seen:
            process_tree.wait_until(lambda: has_ended() or bool(seen), ENDED_WITHIN_S)
        pids = process_tree.tree(process.pid)
        assert not {("/readyz", 200), ("/predict", 200)} & seen
        if process.poll() is None:
            assert seen  # it listens, and refuses
        else:
            assert_one_line(process.returncode, log.read_text())
    finally:
        process.terminate()
        process.wait(30)
        process_tree.kill(process_tree.all_ended(pids, 1))


@pytest.mark.parametrize("name", ["model.onnx", "model.json", "model.yaml"])
async def test_a_model_that_is_damaged_under_a_running_server_is_never_used(
    serve: Serve, slice_file: bytes, tmp_path: Path, name: str
) -> None:
    server = serve(SPINE_WORKERS="2")
    assert await server.has_ready_workers(2, 15)
    sound = (await server.ask(post(slice_file))).outcome
    assert isinstance(sound, Answer)
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
    for _ in range(60):
        for exchange in await server.ask_all([post(slice_file)] * 8):
            seen.add(exchange.status)
            outcome = exchange.outcome
            if isinstance(outcome, Answer) and outcome.status == 200:
                score = json.loads(outcome.body)["reconstruction_mse"]
                assert score == json.loads(sound.body)["reconstruction_mse"]
        await asyncio.sleep(0.1)
    assert 200 in seen
    assert seen <= {200, 503}
