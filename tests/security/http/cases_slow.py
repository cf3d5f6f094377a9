"""List clients that are slow: their heads or bodies trickle or stop, or they never read."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tests.security.http.cases import DICOM, LENGTH, ORDINARY, form, head, part, sized
from tests.security.http.raw_http import Connection

POST = "POST /predict HTTP/1.1"
SLOW = "408 request_too_slow"
GIVES_UP_S = 35.0
LARGE = "Content-Length: 20000000"


@dataclass(frozen=True)
class SlowClient:
    """A client that takes its time.

    Args:
        name: of what is slow.
        at_once: sent at first.
        piece: sent each second from then on, as long as the connection is open.
        answers: as those of `Case`.
    """

    name: str
    at_once: bytes
    piece: bytes
    answers: str


CLIENTS = [
    SlowClient("nothing sent", b"", b"", "closed"),
    SlowClient("a first line that stops", b"POST /pre", b"", SLOW),
    SlowClient("a first line letter by letter", b"GET /", b"x", SLOW),
    SlowClient("a head that stops", head(POST)[:-2], b"", SLOW),
    SlowClient("a head letter by letter", head(POST)[:-2] + b"X: ", b"x", SLOW),
    SlowClient("a head line by line", head(POST)[:-2], b"X: y\r\n", SLOW),
    SlowClient("line ends", b"", b"\r\n", SLOW),
    SlowClient("a body that does not begin", sized(LENGTH, body=b""), b"", SLOW),
    SlowClient("a body that stops", sized(LENGTH)[:-9], b"", SLOW),
    SlowClient("a body byte by byte", sized(LENGTH, body=DICOM[:500]), b"\0", SLOW),
    SlowClient("a large body byte by byte", sized(LARGE, body=DICOM), b"\0", SLOW),
    SlowClient("a form byte by byte", form(part())[:-900], b"\0", SLOW),
    SlowClient(
        "chunks of one byte", sized("Transfer-Encoding: chunked", body=b""), b"1\r\n\0\r\n", SLOW
    ),
    SlowClient("a chunk's extension", sized("Transfer-Encoding: chunked", body=b"5;"), b"x", SLOW),
    SlowClient("trailers", sized("Transfer-Encoding: chunked", body=b"0\r\n"), b"X: y\r\n", SLOW),
    SlowClient(
        "100 and then nothing", sized(LENGTH, "Expect: 100-continue", body=b""), b"", f"100; {SLOW}"
    ),
    SlowClient("a second request that stops", ORDINARY + ORDINARY[:40], b"", f"200; {SLOW}"),
    SlowClient("a second request that does not begin", ORDINARY, b"", "200; closed"),
    SlowClient(
        "a refused body byte by byte",
        sized("Content-Length: 300000000", body=b""),
        b"\0",
        "413 body_too_large; closed",
    ),
    SlowClient("garbage byte by byte", b"\0", b"\0", "400 bad_request; closed"),
]


def play(client: SlowClient, port: int) -> tuple[Connection, float]:
    """Send what a client sends until the server closes; return the seconds until then."""
    began = time.monotonic()
    with Connection(port) as connection:
        connection.send(client.at_once)
        connection.rest(1.0)
        while connection.end == "open" and time.monotonic() - began < GIVES_UP_S:
            connection.send(client.piece)
            connection.rest(1.0)
        return connection, time.monotonic() - began


def flood(port: int, request: bytes, seconds: float) -> int:
    """Ask again and again without waiting for answers, on a new connection after each closed one.

    Returns:
        The number of connections.
    """
    until = time.monotonic() + seconds
    many = request * 2000
    n_connections = 0
    while time.monotonic() < until:
        n_connections += 1
        n_sent = 0
        with Connection(port) as connection:
            while connection.end == "open" and time.monotonic() < until:
                n_sent += connection.push(many[n_sent % len(many) :], within_s=0.1)
                connection.skip()
    return n_connections


def ask_and_never_read(port: int, request: bytes, seconds: float) -> tuple[Connection, float]:
    """Ask for twenty answers at a time and read none, until the server closes or time is over."""
    began = time.monotonic()
    twenty = request * 20
    n_sent = 0
    with Connection(port, receive_buffer=4096) as connection:
        while connection.end == "open" and time.monotonic() - began < seconds:
            n_sent += connection.push(twenty[n_sent % len(twenty) :], within_s=0.1)
            time.sleep(0.2)
        return connection, time.monotonic() - began
