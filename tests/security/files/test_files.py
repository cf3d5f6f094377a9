"""Nothing is written for a request, and the service needs no place to write to."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.mount_namespace import unshare
from tests.root import ROOT
from tests.security import inotify, process_tree
from tests.security.conftest import Serve
from tests.security.load.load import get, post
from tests.security.load.request_mix import refused, valid
from tests.security.load.slow import vanish
from tests.security.servers import Server

pytestmark = pytest.mark.heavy

LOOPBACK = "0100007F"

Mix = list[tuple[bytes, int]]


@pytest.fixture(scope="module")
def mix(slice_file: bytes, compressed_file: bytes) -> Mix:
    scrapes = [(get("/metrics"), 200)]
    return valid(slice_file, compressed_file) + refused(slice_file) + scrapes


async def assert_answers(server: Server, mix: Mix) -> None:
    """Send the whole mix, alone and at once, and clients that vanish."""
    alone = [await server.ask(request) for request, _ in mix]
    together = await server.ask_all([request for request, _ in mix])
    for (request, status), *exchanges in zip(mix, alone, together, strict=True):
        assert [each.status for each in exchanges] == [status, status], request[:300]
    for request, _ in mix:
        await asyncio.to_thread(vanish, server.port, request[: len(request) // 2])
        await asyncio.to_thread(vanish, server.port, request, reset=False)


async def test_nothing_is_created_or_changed_where_the_server_may_write(
    serve: Serve, mix: Mix
) -> None:
    server = serve()
    await assert_answers(server, mix)
    # The metrics of a process live in files that it makes once and maps into memory.
    folders = [path for path in server.home.iterdir() if path.is_dir() and not path.is_symlink()]
    before = listing(server.home), listing(server.temp)
    with inotify.watch([server.temp, *folders]) as seen:
        await assert_answers(server, mix)
    assert seen == []
    assert (listing(server.home), listing(server.temp)) == before


def listing(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


async def test_every_request_is_answered_alike_when_no_file_may_grow(
    serve: Serve, mix: Mix
) -> None:
    server = serve()
    await assert_answers(server, mix)
    for pid in server.pids():
        # From here on each write to any file fails, wherever it is and whatever it is called.
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, 0))
    size = server.log.stat().st_size
    await assert_answers(server, mix)
    assert server.log.stat().st_size == size


# Whatever makes a name in a file system, or a connection.
CALLS = (
    "creat,?open,openat,?openat2,?mkdir,mkdirat,?mknod,mknodat,?rename,renameat,renameat2,?link,"
    "linkat,?symlink,symlinkat,memfd_create,connect"
)
_READS = re.compile(r"\b(open|openat|openat2)\(")
_WRITES = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TMPFILE")
_UNFINISHED = "<unfinished ...>"
_OUTWARD = re.compile(r"sa_family=AF_INET")


def calls(lines: Iterable[str]) -> Iterator[str]:
    """The calls of a trace; those that another process interrupted are joined."""
    begun: dict[str, str] = {}
    for line in lines:
        pid, _, call = line.partition(" ")
        call = call.lstrip()
        if call.endswith(_UNFINISHED):
            begun[pid] = call.removesuffix(_UNFINISHED)
            continue
        if call.startswith("<... "):
            call = begun.pop(pid, "") + call.partition(" resumed>")[2]
        if "(" in call and " = " in call:
            yield f"{pid} {call}"


def file_calls(lines: Sequence[str]) -> list[str]:
    """Those that would create or write a file; /dev/null is none."""
    return [
        line
        for line in lines
        if "connect(" not in line
        and '"/dev/null"' not in line
        and (_WRITES.search(line) or not _READS.search(line))
    ]


# Linux alone has it, and not every machine; .ci/run installs it.
@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
async def test_no_system_call_creates_a_file_for_a_request_or_connects_to_anybody(
    serve: Serve, mix: Mix, tmp_path: Path
) -> None:
    trace = tmp_path / "trace.txt"
    server = serve(
        "strace", "-D", "-f", "-qq", "-s", "200", "-e", f"trace={CALLS}", "-o", str(trace)
    )
    await assert_answers(server, mix)
    before = len(trace.read_text().splitlines())
    await assert_answers(server, mix)
    lines = trace.read_text().splitlines()
    in_its_life = list(calls(lines))
    assert in_its_life, "strace saw nothing"
    assert file_calls(list(calls(lines[before:]))) == []
    assert [call for call in in_its_life if "connect(" in call and _OUTWARD.search(call)] == []


async def test_there_is_one_listener_and_no_connection_but_the_clients(
    serve: Serve, mix: Mix
) -> None:
    server = serve(SPINE_WORKERS="2")
    assert await server.has_ready_workers(2, 15)
    stop = asyncio.Event()
    seen: set[tuple[str, str, int]] = set()
    others: list[process_tree.Socket] = []

    async def look() -> None:
        while not stop.is_set():
            found = await asyncio.to_thread(process_tree.sockets, server.pids())
            others.extend(each for each in found if each.port != server.port)
            seen.update(process_tree.listeners(server.pids()))
            await asyncio.sleep(0.02)

    looking = asyncio.create_task(look())
    await assert_answers(server, mix)
    stop.set()
    await looking
    assert seen == {("tcp", LOOPBACK, server.port)}
    assert others == []


# Everything below /tmp that the server itself is made of stays where it is.
_MOUNT = """
set -eu
kind=$1 kept=$2; shift 2
mount -t tmpfs tmpfs /mnt
mkdir /mnt/tmp && mount --rbind /tmp /mnt/tmp
for folder in /tmp /var/tmp /dev/shm; do mount -t tmpfs -o size=64k tmpfs $folder; done
for path in $kept; do case $path in /tmp/*)
    mkdir -p "$path"; mount --rbind "/mnt$path" "$path";; esac; done
for folder in /tmp /var/tmp /dev/shm; do
    if [ $kind = full ]; then head -c 1000000 /dev/zero > $folder/fill 2>/dev/null || true
    else mount -o remount,ro $folder; fi
done
if [ $kind = read-only-everywhere ]; then
    mount --bind "$PWD" "$PWD"; mount -o remount,bind,ro "$PWD"; cd "$PWD"
fi
unset TMPDIR TEMP TMP
exec "$@"
"""


@pytest.mark.parametrize("kind", ["full", "read-only", "read-only-everywhere"])
async def test_the_service_works_without_a_place_for_temporary_files(
    serve: Serve, mix: Mix, tmp_path_factory: pytest.TempPathFactory, kind: str
) -> None:
    kept = " ".join({str(ROOT), sys.prefix, sys.base_prefix})
    kept += f" {tmp_path_factory.getbasetemp()}"
    server = serve(*unshare(), "sh", "-c", _MOUNT, "sh", kind, kept)
    root = Path(f"/proc/{server.pid}/root/tmp")
    assert os.statvfs(root).f_blocks * os.statvfs(root).f_frsize == 64 * 1024
    environs = [Path(f"/proc/{pid}/environ").read_text() for pid in server.workers()]
    # The server itself names a folder in its home.
    assert all(f"TMPDIR={server.home / 'tmp'}\0" in each for each in environs)
    await assert_answers(server, mix)
    for mounted in (root, root.parent / "var/tmp", root.parent / "dev/shm"):
        names = {path.name for path in mounted.iterdir()}
        assert names <= {"fill", *(Path(path).parts[2] for path in kept.split())}
    server.process.terminate()
    assert await asyncio.to_thread(server.process.wait, 25) == 0
    assert list(ROOT.glob("bentoml-uds-*")) == []


async def test_a_server_that_ends_leaves_nothing(serve: Serve, slice_file: bytes) -> None:
    server = serve()
    assert (await server.ask(post(slice_file))).status == 200
    pids = server.pids()
    server.process.terminate()
    assert await asyncio.to_thread(server.process.wait, 25) == 0
    assert process_tree.all_ended(pids, 1) == []
    assert listing(server.temp) == []
    assert [path for path in listing(server.home) if path.is_file()] == []
