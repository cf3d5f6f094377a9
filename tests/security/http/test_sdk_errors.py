"""BentoML's own clients raise the exception that matches each status, with our words in it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import attrs
import bentoml
import pytest
from bentoml.exceptions import (
    BentoMLException,
    InvalidArgument,
    NotFound,
    ServiceUnavailable,
    UnprocessableEntity,
)

from tests.dicom_files import encapsulated, make_dicom, noise
from tests.preprocessing.decoding.codestreams import RAMP, RLE, encode_rle
from tests.security import process_tree
from tests.security.conftest import Serve
from tests.security.http.cases import MARKER
from tests.security.http.raw_http import Connection
from tests.security.servers import Server
from tests.serving.problems import FIELDS

pytestmark = pytest.mark.heavy

KEY = "sdk-key-0123456789"
Write = Callable[[bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file whose name must stay private."""

    def write(data: bytes) -> Path:
        path = tmp_path / f"{MARKER}.dcm"
        path.write_bytes(data)
        return path

    return write


@contextmanager
def sync_client(server: Server, **options: Any) -> Iterator[bentoml.SyncHTTPClient]:
    """BentoML's client, which asks for the schema first."""
    url = f"http://127.0.0.1:{server.port}"
    with bentoml.SyncHTTPClient(url, **options) as client:
        try:
            yield client
        finally:
            client._temp_dir.cleanup()  # left to the garbage collector, which warns


@asynccontextmanager
async def async_client(server: Server) -> AsyncIterator[bentoml.AsyncHTTPClient]:
    """The same for coroutines."""
    async with bentoml.AsyncHTTPClient(f"http://127.0.0.1:{server.port}") as client:
        try:
            yield client
        finally:
            client._temp_dir.cleanup()


def assert_ours(raised: BentoMLException, kind: type[BentoMLException], code: str) -> None:
    """Check that an exception is of the right class and repeats what the service answered."""
    assert type(raised) is kind
    problem = json.loads(raised.message)
    assert set(problem) == FIELDS
    assert (problem["code"], problem["status"]) == (code, raised.error_code)
    assert problem["error"] in str(raised)
    assert MARKER not in str(raised)


def slice_of(**changes: Any) -> bytes:
    """A small file with elements of its own."""
    return make_dicom(noise((24, 24)), PatientName=MARKER, **changes)


# What is sent, what is raised. BentoML 1.4 has classes for 400, 404, 422 and 503; every other
# status is the class that they share, with the status as its error_code.
RAISED: dict[str, tuple[bytes, dict[str, Any], type[BentoMLException]]] = {
    "empty_file": (b"", {}, InvalidArgument),
    "threshold_invalid": (slice_of(), {"threshold": -1.0}, InvalidArgument),
    "alarm_rate_invalid": (slice_of(), {"alarm_rate": 0.0001}, InvalidArgument),
    "body_too_large": (bytes(33_000_000), {}, BentoMLException),
    "limit_exceeded": (slice_of(NumberOfFrames=100_000), {}, BentoMLException),
    "not_dicom": (b"no image of " + MARKER.encode(), {}, BentoMLException),
    "wrong_modality": (slice_of(Modality="CT"), {}, UnprocessableEntity),
    "not_grayscale": (slice_of(PhotometricInterpretation="RGB"), {}, UnprocessableEntity),
}


@pytest.mark.parametrize("code", RAISED)
def test_the_client_raises_what_matches_the_status(server: Server, write: Write, code: str) -> None:
    data, arguments, kind = RAISED[code]
    with sync_client(server) as client, pytest.raises(BentoMLException) as caught:
        client.predict(file=write(data), **arguments)
    assert_ours(caught.value, kind, code)


@pytest.mark.parametrize("code", RAISED)
async def test_the_client_for_coroutines_raises_the_same(
    server: Server, write: Write, code: str
) -> None:
    data, arguments, kind = RAISED[code]
    async with async_client(server) as client:
        with pytest.raises(BentoMLException) as caught:
            await client.predict(file=write(data), **arguments)
    assert_ours(caught.value, kind, code)


def test_a_threshold_that_is_no_number_is_told_too(server: Server, write: Write) -> None:
    for threshold in ("Zqmarker", "nan", float("inf"), [0.1, 0.2]):
        with sync_client(server) as client, pytest.raises(InvalidArgument) as caught:
            client.predict(file=write(slice_of()), threshold=threshold)
        assert_ours(caught.value, InvalidArgument, "threshold_invalid")


def test_a_url_in_place_of_a_file_is_refused(server: Server) -> None:
    # The client sends a form without files, which httpx encodes as an urlencoded one.
    with sync_client(server) as client, pytest.raises(BentoMLException) as caught:
        client.predict(file="http://127.0.0.1:9/a.dcm")
    assert_ours(caught.value, BentoMLException, "unsupported_media_type")


def test_a_route_that_is_gone_raises_not_found(server: Server, write: Write) -> None:
    with sync_client(server) as client:
        client.endpoints["predict"] = attrs.evolve(client.endpoints["predict"], route="/gone")
        with pytest.raises(NotFound) as caught:
            client.predict(file=write(slice_of()))
    assert_ours(caught.value, NotFound, "not_found")


def test_the_client_goes_on_after_each_error(server: Server, write: Write) -> None:
    with sync_client(server) as client:
        for data, arguments, _ in RAISED.values():
            with pytest.raises(BentoMLException):
                client.predict(file=write(data), **arguments)
            assert client.predict(file=write(slice_of()))["reconstruction_mse"] >= 0


def test_a_missing_key_raises_401_and_the_token_of_the_client_opens(
    serve: Serve, write: Write
) -> None:
    server = serve(SPINE_API_KEY=KEY, SPINE_DOCS="open")
    for token in (None, "wrong"):
        with sync_client(server, token=token) as client, pytest.raises(BentoMLException) as caught:
            client.predict(file=write(slice_of()))
        assert_ours(caught.value, BentoMLException, "unauthorized")
    with sync_client(server, token=KEY) as client:
        assert client.predict(file=write(slice_of()))["frames"] == 1


def test_a_rate_that_is_exceeded_raises_429(serve: Serve, write: Write) -> None:
    server = serve(SPINE_RATE_PER_S="1", SPINE_RATE_BURST="4")
    path = write(slice_of())
    with sync_client(server) as client, pytest.raises(BentoMLException) as caught:
        [client.predict(file=path) for _ in range(100)]
    assert_ours(caught.value, BentoMLException, "rate_limited")


def test_too_many_connections_raise_503(serve: Serve, write: Write) -> None:
    server = serve(SPINE_CONNECTIONS="8")
    with sync_client(server) as client:
        client.request("GET", "/livez", headers={"Connection": "close"})
        others = [Connection(server.port) for _ in range(8)]
        with pytest.raises(ServiceUnavailable) as caught:
            client.predict(file=write(slice_of()))
        for other in others:
            other.close()
    assert_ours(caught.value, ServiceUnavailable, "too_many_connections")


def test_a_deadline_that_passes_raises_504(serve: Serve, write: Write) -> None:
    server = serve(SPINE_DEADLINE_S="1")
    for decoder in process_tree.decoders(server.pid):
        os.kill(decoder, signal.SIGSTOP)
    compressed = encapsulated(RAMP, RLE, [encode_rle(RAMP)])
    with sync_client(server) as client, pytest.raises(BentoMLException) as caught:
        client.predict(file=write(compressed))
    assert_ours(caught.value, BentoMLException, "deadline_exceeded")


def test_a_client_waits_for_no_server_that_drains(serve: Serve) -> None:
    server = serve(SPINE_DRAIN_S="5")
    with sync_client(server) as client:
        assert client.is_ready()
        os.kill(server.pid, signal.SIGTERM)
        assert process_tree.wait_until(lambda: not client.is_ready(), seconds=4)
        with pytest.raises(ServiceUnavailable):
            client.wait_until_server_ready(1)
    process_tree.kill(server.workers())  # nobody waits for the rest of the drain
