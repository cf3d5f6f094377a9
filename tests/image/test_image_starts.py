"""A container starts where it can, and explains in one line where it cannot."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from tests.image.containers import ONE_WORKER, Limits, container, run_to_its_end
from tests.measured import Report

pytestmark = pytest.mark.image

# Without shared memory and /tmp nothing is left on a read-only root.
NO_ROOM = replace(ONE_WORKER, has_tmp=False, options=("--read-only", "--ipc", "none"))


@pytest.mark.parametrize(
    ("limits", "environ", "reason"),
    [
        (ONE_WORKER, {"PORT": "http"}, "the port 'http' is not a number from 1 to 65535"),
        (ONE_WORKER, {"BENTOML_HOST": "192.0.2.1"}, "not an address of this machine"),
        (ONE_WORKER, {"SPINE_MODEL": "nosuch"}, "nosuch"),
        (ONE_WORKER, {"SPINE_MODEL": "/models/site.bentomodel"}, "/models/site.bentomodel"),
        (ONE_WORKER, {"SPINE_WORKERS": "many"}, "SPINE_WORKERS is 'many'"),
        (ONE_WORKER, {"TMPDIR": "/nowhere"}, "/nowhere"),
        (NO_ROOM, {}, "; mount a tmpfs at /tmp"),
    ],
    ids=lambda value: None if isinstance(value, str) else repr(value)[:40],
)
def test_what_cannot_work_ends_with_one_line(
    image: str, limits: Limits, environ: dict[str, str], reason: str
) -> None:
    code, output = run_to_its_end(limits, **environ)
    assert code == 1
    [line] = output.splitlines()
    assert line.startswith("service: ")
    assert reason in line


def test_a_port_that_is_taken_is_named_in_one_line(image: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        code, output = run_to_its_end(PORT=str(port))
    assert code == 1
    [line] = output.splitlines()
    assert line.startswith(f"service: cannot listen on 127.0.0.1 port {port} ")


@pytest.mark.parametrize("cores", ["2", "0.5"])
def test_it_gets_ready_on_few_cores(image: str, cores: str, report: Report) -> None:
    limits = replace(ONE_WORKER, options=(*ONE_WORKER.options, "--cpus", cores))
    with container(limits) as made:
        report(f"start to ready, one worker, --cpus {cores}: {made.start_and_wait():.1f} s")
