"""Each server has its own metrics, and no answer depends on them."""

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import httpx
import pytest

from tests.mount_namespace import unshare
from tests.root import ROOT
from tests.security import process_tree
from tests.serving.problems import assert_problem
from tests.serving.server import bentoml_serve, serve

Serve = Callable[..., AbstractContextManager[tuple[str, subprocess.Popen[bytes]]]]
starts = pytest.mark.parametrize("start", [serve, bentoml_serve], ids=["serving", "bentoml"])


@pytest.fixture
def temp(tmp_path: Path) -> Iterator[Path]:
    """A TMPDIR that servers share; nothing may be left in it."""
    temp = tmp_path / "temp"
    temp.mkdir()
    yield temp
    assert list(temp.glob("spine-metrics-*")) == []


def n_counted(url: str) -> int:
    """Answers to POST /predict that a server's metrics know of."""
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return sum(
        int(float(line.rpartition(" ")[2]))
        for line in lines
        if line.startswith('bentoml_service_request_total{endpoint="/predict"')
    )


@pytest.mark.heavy
@starts
def test_two_servers_of_one_home_count_each_for_itself(
    model_store: Path, tmp_path: Path, temp: Path, dicom: bytes, start: Serve
) -> None:
    environ = {"BENTOML_HOME": str(model_store), "TMPDIR": str(temp)}
    with start(tmp_path / "one", **environ) as (one, _):
        for _ in range(3):
            assert httpx.post(f"{one}/predict", files={"file": dicom}).status_code == 200
        with start(tmp_path / "two", **environ) as (two, _):
            assert httpx.post(f"{two}/predict", files={"file": dicom}).status_code == 200
            assert (n_counted(one), n_counted(two)) == (3, 1)


@pytest.mark.heavy
@starts
def test_answers_go_on_when_the_folder_is_gone(
    model_store: Path, tmp_path: Path, temp: Path, dicom: bytes, start: Serve
) -> None:
    environ = {"BENTOML_HOME": str(model_store), "TMPDIR": str(temp)}
    with start(tmp_path / "log", **environ) as (url, _):
        (folder,) = temp.glob("spine-metrics-*")
        shutil.rmtree(folder)
        for path in ("/livez", "/readyz", "/"):
            assert httpx.get(f"{url}{path}").status_code == 200
        assert httpx.post(f"{url}/predict", files={"file": dicom}).status_code == 200
        assert httpx.post(f"{url}/predict", files={"file": b"none"}).status_code == 415
        bad = f"{url}/predict?threshold=x"
        assert httpx.post(bad, files={"file": dicom}).status_code == 400
        assert httpx.get(f"{url}/nothing").status_code == 404
        assert_problem(httpx.get(f"{url}/metrics"), 503, "metrics_unavailable")
        text = (tmp_path / "log").read_text()
        assert text.count("refused: 503 metrics_unavailable") == 1
        assert text.count("settings: SPINE_") == 1
        # One line for each refusal: the access line would name another answer.
        assert text.count("refused: 415 not_dicom") == 1
        assert "status=415" not in text


@pytest.mark.heavy  # half a minute
@starts
def test_a_worker_that_replaces_a_killed_one_goes_on_with_its_counts_and_leaves_nothing_of_it(
    model_store: Path, tmp_path: Path, temp: Path, dicom: bytes, start: Serve
) -> None:
    environ = {"BENTOML_HOME": str(model_store), "TMPDIR": str(temp)}
    with start(tmp_path / "log", **environ) as (url, process):
        port = int(url.rpartition(":")[2])
        (folder,) = temp.iterdir()
        files = Counter(file.name.rpartition("_")[0] for file in folder.iterdir())
        for n_sent in range(1, 4):
            assert httpx.post(f"{url}/predict", files={"file": dicom}).status_code == 200
            assert n_counted(url) == n_sent
            (worker,) = process_tree.workers(process.pid, port)
            assert list(folder.glob(f"temp_{worker}/bentoml-client-*"))
            process_tree.kill([worker])
            process_tree.wait_until(lambda: is_ready(url), 60)
        assert Counter(file.name.rpartition("_")[0] for file in folder.iterdir()) == files
        assert not list(folder.glob(f"*_{worker}*"))
        assert list(temp.iterdir()) == [folder]
    assert list(temp.iterdir()) == []


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.heavy
def test_a_worker_that_starts_when_the_folder_is_gone_answers_without_metrics(
    model_store: Path, tmp_path: Path, temp: Path, dicom: bytes
) -> None:
    import psutil

    environ = {"BENTOML_HOME": str(model_store), "TMPDIR": str(temp)}
    with serve(tmp_path / "log", **environ) as (url, process):
        (folder,) = temp.glob("spine-metrics-*")
        shutil.rmtree(folder)
        workers = psutil.Process(process.pid).children()
        workers[-1].kill()  # the first is multiprocessing's resource tracker
        deadline = time.monotonic() + 60
        while "no metrics of this worker" not in (tmp_path / "log").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        answer = httpx.post(f"{url}/predict", files={"file": dicom}, timeout=60)
        assert answer.status_code == 200
        assert httpx.get(f"{url}/metrics").status_code == 404


@pytest.mark.heavy
@pytest.mark.parametrize(("size", "metrics"), [("400k", 404), ("2m", 200)])
def test_a_full_disk_ends_no_worker_and_no_answer(
    model_store: Path, tmp_path: Path, temp: Path, dicom: bytes, size: str, metrics: int
) -> None:
    import psutil

    mount = f'mount -t tmpfs -o size={size} tmpfs {temp} && exec "$@"'
    prefix = [*unshare(), "sh", "-c", mount, "sh"]
    environ = {"BENTOML_HOME": str(model_store), "TMPDIR": str(temp)}
    with serve(tmp_path / "log", prefix, **environ) as (url, process):
        workers = {each.pid for each in psutil.Process(process.pid).children()}
        fill = Path(f"/proc/{process.pid}/root{temp}/fill")
        with suppress(OSError), fill.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1024))
        for name in ("/", "/livez", "/readyz", "/docs.json", "/schema.json", "/nothing"):
            for _ in range(3):
                assert httpx.get(f"{url}{name}").status_code in (200, 404)
        for _ in range(3):
            assert httpx.post(f"{url}/predict", files={"file": dicom}).status_code == 200
            assert httpx.post(f"{url}/predict", files={"file": b"none"}).status_code == 415
        assert httpx.get(f"{url}/metrics").status_code == metrics
        assert {each.pid for each in psutil.Process(process.pid).children()} == workers


def test_the_folder_of_a_server_that_was_killed_is_removed_by_the_next(
    model_store: Path, tmp_path: Path, temp: Path
) -> None:
    code = "from serving.process.metrics_folder import make_metrics_folder as make; make();"
    environ = os.environ | {"TMPDIR": str(temp)}

    def run(more: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(  # noqa: S603 (our own code)
            [sys.executable, "-c", code + more], cwd=ROOT, env=environ, check=False
        )

    assert run("import os; os.kill(os.getpid(), 9)").returncode == -9
    (left,) = temp.glob("spine-metrics-*")
    run("")
    assert not left.exists()
