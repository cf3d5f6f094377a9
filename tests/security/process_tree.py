"""Read from /proc what a server and its descendants use: memory, descriptors, threads, sockets."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

PROC = Path("/proc")
_LISTENING = "0A"
_PSS = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)
_THREADS = re.compile(r"^Threads:\s+(\d+)", re.MULTILINE)
_SOCKET = re.compile(r"socket:\[(\d+)\]")


@dataclass(frozen=True)
class Usage:
    """What a process tree uses at one moment.

    Args:
        memory: bytes; a page that several processes share counts once (PSS).
        descriptors: open ones.
        threads: of all processes.
        processes: their number.
    """

    memory: int
    descriptors: int
    threads: int
    processes: int


def tree(root: int) -> list[int]:
    """List a process and its descendants, parents first; empty when it is gone."""
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    found = [root] if is_running(root) else []
    for pid in found:
        found += children.get(pid, [])
    return found


def _parents() -> Iterator[tuple[int, int]]:
    for entry in PROC.glob("[0-9]*"):  # none where there is no /proc
        if stat := _read(entry / "stat"):
            # The name before it may hold any character, parentheses and blanks included.
            yield int(entry.name), int(stat.rpartition(")")[2].split()[1])


def is_running(pid: int) -> bool:
    """Return whether a process exists; one that ended and was not waited for does not."""
    stat = _read(PROC / str(pid) / "stat")
    return bool(stat) and stat.rpartition(")")[2].split()[0] not in "ZX"


def command(pid: int) -> str:
    """The command line of a process; empty when it is gone."""
    return _read(PROC / str(pid) / "cmdline").replace("\0", " ")


def _read(path: Path) -> str:
    """The text of a file of /proc; empty when its process is gone."""
    try:
        return path.read_text()
    except OSError:
        return ""


def usage(root: int) -> Usage:
    """Measure a process tree."""
    pids = tree(root)
    memory = threads = 0
    for pid in pids:
        pss = _PSS.search(_read(PROC / str(pid) / "smaps_rollup"))
        memory += 1024 * int(pss[1]) if pss else 0
        counted = _THREADS.search(_read(PROC / str(pid) / "status"))
        threads += int(counted[1]) if counted else 0
    descriptors = sum(len(list(_descriptors(pid))) for pid in pids)
    return Usage(memory, descriptors, threads, len(pids))


def _descriptors(pid: int) -> Iterator[str]:
    """What the open descriptors of a process lead to."""
    folder = PROC / str(pid) / "fd"
    try:
        links = list(folder.iterdir())
    except OSError:
        return
    for link in links:
        try:
            yield os.readlink(link)  # noqa: PTH115 (a socket's target is not a path)
        except OSError:
            continue  # closed meanwhile


def _socket_inodes(pid: int) -> set[str]:
    return {found[1] for target in _descriptors(pid) if (found := _SOCKET.fullmatch(target))}


@dataclass(frozen=True)
class Socket:
    """One line of /proc/net/tcp, tcp6, udp or udp6; addresses in hex as the kernel writes them."""

    protocol: str
    local: str
    remote: str
    state: str
    inode: str

    @property
    def port(self) -> int:
        """Of this end."""
        return int(self.local.rpartition(":")[2], 16)

    @property
    def remote_port(self) -> int:
        """Of the other end."""
        return int(self.remote.rpartition(":")[2], 16)


def _all_sockets() -> Iterator[Socket]:
    for protocol in ("tcp", "tcp6", "udp", "udp6"):
        for line in _read(PROC / "net" / protocol).splitlines()[1:]:
            words = line.split()
            yield Socket(protocol, words[1], words[2], words[3], words[9])


def sockets(pids: Iterable[int]) -> list[Socket]:
    """List the TCP and UDP sockets that these processes hold."""
    inodes = set().union(*(_socket_inodes(pid) for pid in pids))
    return [found for found in _all_sockets() if found.inode in inodes]


def listeners(pids: Iterable[int]) -> list[tuple[str, str, int]]:
    """List (protocol, address in hex, port) of what these processes can be reached at."""
    found = sockets(pids)
    reachable = [s for s in found if s.state == _LISTENING or s.protocol.startswith("udp")]
    return sorted({(s.protocol, s.local.partition(":")[0], s.port) for s in reachable})


def workers(root: int, port: int) -> list[int]:
    """List the descendants that hold the socket which listens on a port: who answers there."""
    inodes = {s.inode for s in _all_sockets() if s.state == _LISTENING and s.port == port}
    return [pid for pid in tree(root)[1:] if _socket_inodes(pid) & inodes]


def decoders(root: int) -> list[int]:
    """List the decoder processes of a server."""
    return [pid for pid in tree(root) if "preprocessing.decoding.child" in command(pid)]


def client_ports(pid: int, server_port: int) -> set[int]:
    """List the clients' ends of the connections that one process serves."""
    held = _socket_inodes(pid)
    return {
        s.remote_port
        for s in _all_sockets()
        if s.port == server_port and s.state != _LISTENING and s.inode in held
    }


@dataclass
class Memory:
    """The memory of a process tree while it was watched, bytes."""

    samples: list[int] = field(default_factory=list)

    def growth(self, since: Usage) -> int:
        """The highest sample above what was used then."""
        return max(self.samples) - since.memory


@contextmanager
def watch_memory(root: int, every_s: float = 0.1) -> Iterator[Memory]:
    """Sample the memory of a process tree until the block ends."""
    memory = Memory([usage(root).memory])
    ended = threading.Event()

    def sample() -> None:
        while not ended.wait(every_s):
            memory.samples.append(usage(root).memory)

    thread = threading.Thread(target=sample, name="watch-memory")
    thread.start()
    try:
        yield memory
    finally:
        ended.set()
        thread.join()


def wait_until(is_so: Callable[[], bool], seconds: float) -> bool:
    """Ask until it is so; False when it is not after that time."""
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def all_ended(pids: Iterable[int], seconds: float) -> list[int]:
    """Wait for processes to end; return those that did not."""
    left = list(pids)
    wait_until(lambda: not any(map(is_running, left)), seconds)
    return [pid for pid in left if is_running(pid)]


def kill(pids: Iterable[int]) -> None:
    """Kill processes that may be gone already."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def cpu_seconds(root: int) -> float:
    """Computing time of a process tree, of children that ended and were waited for too."""
    ticks = 0
    for pid in tree(root):
        if stat := _read(PROC / str(pid) / "stat"):
            ticks += sum(map(int, stat.rpartition(")")[2].split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")
