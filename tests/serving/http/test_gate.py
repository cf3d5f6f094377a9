"""Bodies that are large, slow, many or not what the service takes."""

import asyncio
from typing import Any

import pytest

from serving.contract import UPLOAD, Upload
from serving.errors import (
    BodyTooLarge,
    ClientGone,
    Overloaded,
    RequestTooSlow,
    UnsupportedMediaType,
)
from serving.http.gate import LARGE_BODIES, LARGE_BODY_BYTES, Gate
from serving.settings import Settings

MB = 1_000_000
DICOM = (b"content-type", b"application/dicom")


class Client:
    """One request: sends the pieces that it is given, then closes."""

    def __init__(self, *headers: tuple[bytes, bytes]) -> None:
        self.scope: dict[str, Any] = {
            **{"type": "http", "method": "POST", "query_string": b"", "headers": list(headers)}
        }
        self.pieces: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.n_read = 0

    def send(self, body: bytes, more: bool = False) -> "Client":
        self.pieces.put_nowait({"type": "http.request", "body": body, "more_body": more})
        return self

    def close(self) -> "Client":
        self.pieces.put_nowait({"type": "http.disconnect"})
        return self

    async def receive(self) -> dict[str, Any]:
        message = await self.pieces.get()
        self.n_read += 1
        return message

    async def through(self, gate: Gate) -> None:
        async def send(message: Any) -> None:
            raise AssertionError(message)

        await gate(self.scope, self.receive, send)


class Application:
    """Takes bodies, and answers when the test lets it."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.may_answer = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        upload: Upload = scope[UPLOAD]
        self.bodies.append(upload.data)
        await self.may_answer.wait()


@pytest.fixture
async def app() -> Application:
    app = Application()
    app.may_answer.set()
    return app


def gate(app: Application, **limits: int) -> Gate:
    return Gate(app, Settings(**limits))  # type: ignore[arg-type]  # numbers only


async def test_a_body_in_pieces_arrives_whole(app: Application) -> None:
    await Client(DICOM).send(b"one", more=True).send(b"two").through(gate(app))
    assert app.bodies == [b"onetwo"]


async def test_the_scope_which_outlives_the_answer_holds_no_file(app: Application) -> None:
    client = Client(DICOM).send(b"whole")
    await client.through(gate(app))
    assert app.bodies == [b"whole"]
    assert UPLOAD not in client.scope


async def test_an_announced_size_above_the_limit_is_refused_unread(app: Application) -> None:
    client = Client(DICOM, (b"content-length", b"1000001")).send(b"x" * 10, more=True)
    with pytest.raises(BodyTooLarge):
        await client.through(gate(app, max_upload_mb=1))
    assert client.n_read == 0


async def test_an_endless_body_is_read_up_to_the_limit(app: Application) -> None:
    client = Client(DICOM)
    for _ in range(50):
        client.send(b"x" * 100_000, more=True)
    with pytest.raises(BodyTooLarge):
        await client.through(gate(app, max_upload_mb=1))
    assert client.n_read == 11


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"content-type", b"text/plain")],
        [(b"content-type", b"application/vnd.bentoml+pickle")],
        [(b"content-type", b"APPLICATION/VND.BENTOML+PICKLE")],
        [(b"content-type", b"application/dicom+json")],
        [(b"content-type", b"multipart/mixed; boundary=b")],
        [DICOM, (b"content-encoding", b"gzip")],
    ],
)
async def test_other_media_types_are_refused_unread(
    app: Application, headers: list[tuple[bytes, bytes]]
) -> None:
    client = Client(*headers).send(b"x")
    with pytest.raises(UnsupportedMediaType):
        await client.through(gate(app))
    assert client.n_read == 0


async def test_a_body_that_stops_coming_is_too_slow(app: Application) -> None:
    the_gate = gate(app, body_timeout_s=1)
    with pytest.raises(RequestTooSlow):
        await Client(DICOM).send(b"x" * 64, more=True).through(the_gate)
    assert the_gate._n_bytes == 0


async def test_no_time_is_saved_up_for_trickling(app: Application) -> None:
    the_gate = gate(app, body_timeout_s=1)
    client = Client(DICOM).send(b"x" * MB, more=True)  # at 64 kB/s this would be worth 15 s

    async def trickle() -> None:
        while True:
            client.send(b"x", more=True)
            await asyncio.sleep(0.2)

    trickling = asyncio.create_task(trickle())
    with pytest.raises(RequestTooSlow):
        await asyncio.wait_for(client.through(the_gate), 10)
    trickling.cancel()


async def test_a_client_that_leaves_is_gone(app: Application) -> None:
    the_gate = gate(app)
    with pytest.raises(ClientGone):
        await Client(DICOM).send(b"x", more=True).close().through(the_gate)
    assert the_gate._n_bytes == 0


async def test_slow_bodies_take_no_place_among_the_answers(app: Application) -> None:
    the_gate = gate(app, concurrency=1)
    slow = [asyncio.create_task(Client(DICOM).through(the_gate)) for _ in range(100)]
    await asyncio.sleep(0)
    await Client(DICOM).send(b"x").through(the_gate)
    assert app.bodies == [b"x"]
    for task in slow:
        task.cancel()
    await asyncio.wait(slow)


async def test_requests_above_the_concurrency_are_refused_unread() -> None:
    app = Application()
    the_gate = gate(app, concurrency=2)
    inside = [asyncio.create_task(Client(DICOM).send(b"x").through(the_gate)) for _ in range(2)]
    while len(app.bodies) < 2:
        await asyncio.sleep(0)
    refused = Client(DICOM).send(b"x")
    with pytest.raises(Overloaded):
        await refused.through(the_gate)
    assert refused.n_read == 0
    app.may_answer.set()
    await asyncio.gather(*inside)
    await Client(DICOM).send(b"y").through(the_gate)
    assert app.bodies == [b"x", b"x", b"y"]


async def test_bodies_received_together_do_not_pass_the_concurrency_together() -> None:
    app = Application()
    the_gate = gate(app, concurrency=2)
    clients = [Client(DICOM).send(b"x", more=True) for _ in range(5)]
    tasks = [asyncio.create_task(client.through(the_gate)) for client in clients]
    while sum(client.n_read for client in clients) < 5:
        await asyncio.sleep(0)
    for client in clients:
        client.send(b"y")
    await asyncio.wait(tasks, timeout=0.1, return_when=asyncio.FIRST_EXCEPTION)
    app.may_answer.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results].count(Overloaded) == 3
    assert len(app.bodies) == 2


async def test_all_bodies_together_have_a_limit_and_give_their_room_back() -> None:
    app = Application()
    the_gate = gate(app, bodies_mb=2)
    inside = [
        asyncio.create_task(Client(DICOM).send(b"x" * MB).through(the_gate)) for _ in range(2)
    ]
    while len(app.bodies) < 2:
        await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await Client(DICOM).send(b"x").through(the_gate)
    app.may_answer.set()
    await asyncio.gather(*inside)
    await Client(DICOM).send(b"x" * MB).through(the_gate)
    assert the_gate._n_bytes == 0


async def test_large_bodies_wait_for_each_other_and_take_no_room_from_ordinary_ones() -> None:
    app = Application()
    the_gate = gate(app, bodies_mb=5)
    large = [asyncio.create_task(large_one().through(the_gate)) for _ in range(LARGE_BODIES + 1)]
    while len(app.bodies) < LARGE_BODIES:
        await asyncio.sleep(0)
    ordinary = asyncio.create_task(Client(DICOM).send(b"x").through(the_gate))
    while len(app.bodies) < LARGE_BODIES + 1:
        await asyncio.sleep(0)
    assert app.bodies[-1] == b"x"
    app.may_answer.set()
    await asyncio.gather(*large, ordinary)
    assert len(app.bodies) == LARGE_BODIES + 2
    assert the_gate._n_bytes == 0
    assert the_gate._large_bodies._value == LARGE_BODIES


async def test_a_large_body_that_finds_no_place_in_time_is_told_to_try_again() -> None:
    app = Application()
    the_gate = gate(app, bodies_mb=5, body_timeout_s=1)
    inside = [asyncio.create_task(large_one().through(the_gate)) for _ in range(LARGE_BODIES)]
    while len(app.bodies) < LARGE_BODIES:
        await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await large_one().send(b"y", more=True).through(the_gate)
    app.may_answer.set()
    await asyncio.gather(*inside)
    assert the_gate._n_bytes == 0
    assert the_gate._large_bodies._value == LARGE_BODIES


def large_one() -> Client:
    return Client(DICOM).send(b"x" * LARGE_BODY_BYTES, more=True).send(b"x")
