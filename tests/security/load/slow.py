"""Clients that trickle, and clients that vanish."""

from __future__ import annotations

import asyncio
import socket
import struct
import time

from tests.security.load.load import HOST, closed


async def trickle(
    server_port: int, start: bytes, piece: bytes, every_s: float, seconds: float
) -> tuple[float, bytes] | None:
    """Send a start, then a piece again and again, until the server closes the connection.

    Args:
        server_port: on this machine.
        start: sent at once.
        piece: sent each `every_s`; nothing when empty.
        every_s: see above.
        seconds: after which it gives up.

    Returns:
        Seconds until the close and what the server had sent; None when it did not close.
    """
    started = time.monotonic()
    reader, writer = await asyncio.open_connection(HOST, server_port)
    received = b""
    try:
        writer.write(start)
        while (passed := time.monotonic() - started) < seconds:
            try:
                data = await asyncio.wait_for(reader.read(65536), every_s)
            except TimeoutError:
                writer.write(piece)
                continue
            if not data:
                return passed, received
            received += data
    except OSError:
        return time.monotonic() - started, received
    finally:
        writer.transport.abort()
        await closed(writer)
    return None


def vanish(server_port: int, data: bytes, wait_s: float = 0.0, reset: bool = True) -> None:
    """Send something and go away: with a reset, as a killed client does, or with a close."""
    with socket.create_connection((HOST, server_port)) as connection:
        connection.settimeout(10)
        try:
            connection.sendall(data)
            time.sleep(wait_s)
        except OSError:
            return  # the server went first
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
