"""The image runs for any user, without rights, on a read-only root, in little memory."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from image.engine import ask
from tests.image.conftest import Start
from tests.image.containers import (
    MIB,
    NOBODY,
    ONE_WORKER,
    ROOT_GROUP,
    TWO_WORKERS,
    USER,
    Container,
    Limits,
    container,
)
from tests.security.load.load import post, statuses

pytestmark = pytest.mark.image


@pytest.mark.parametrize(
    "limits",
    [
        replace(ONE_WORKER, has_tmp=False),
        replace(ONE_WORKER, user=NOBODY, has_tmp=False),
        replace(TWO_WORKERS, user=ROOT_GROUP, has_tmp=False),
    ],
    ids=lambda limits: f"{limits.workers} for {limits.user or USER}",
)
async def test_it_answers_under_these_limits(start: Start, limits: Limits, phantom: bytes) -> None:
    made = await asyncio.to_thread(start, limits)
    exchanges = await made.ask_all([post(phantom)] * 16)
    assert set(statuses(exchanges)) == {200}
    _assert_limited(made)


def test_the_container_of_the_other_tests_has_these_limits(two_workers: Container) -> None:
    _assert_limited(two_workers)


def _assert_limited(made: Container) -> None:
    """The engine has the limits, and the kernel keeps each process to them."""
    limits, host = made.limits, made.inspect()["HostConfig"]
    assert host["ReadonlyRootfs"] is True
    assert host["Memory"] == host["MemorySwap"] == limits.memory_mb * MIB
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    tmp = {"/tmp": "size=64m"} if limits.has_tmp else None  # noqa: S108  # a mount
    assert host.get("Tmpfs") == tmp
    uid, _, gid = (limits.user or USER).partition(":")
    processes = _status(made)
    assert len(processes) > limits.workers  # theirs, the first one's and decoders'
    for status in processes:
        assert status["NoNewPrivs"] == "1", status
        assert status["Uid"].split() == [uid] * 4, status
        assert status["Gid"].split() == [gid] * 4, status
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(status[name], 16) == 0, status
    memory, state = made.memory(), made.state()
    assert (memory.n_killed, state["OOMKilled"], state["Running"]) == (0, False, True)


def _status(made: Container) -> list[dict[str, Any]]:
    """/proc/PID/status of each process."""
    texts = made.ask_processes('[_read(PROC / str(pid) / "status") for pid in tree(1)]')
    return [
        {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
        for lines in (text.splitlines() for text in texts)
    ]


def test_it_listens_on_its_port_and_nowhere_else(two_workers: Container) -> None:
    found = two_workers.ask_processes("listeners(tree(1))")
    assert found == [["tcp", "0100007F", two_workers.port]]


def test_without_a_network_it_is_ready_and_listens_on_port_8000_of_every_address(
    image: str,
) -> None:
    alone = replace(ONE_WORKER, network="none")
    with container(alone, PORT="", BENTOML_HOST="") as made:
        made.start()
        found = made.ask_processes(
            "wait_until(lambda: listeners(tree(1)), 30) and listeners(tree(1))"
        )
        assert found == [["tcp", "00000000", 8000]]
        code = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8000/readyz').status)"
        assert ask("exec", made.id, "python", "-c", code) == "200"
