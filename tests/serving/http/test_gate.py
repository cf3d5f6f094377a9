"""Bodies that are large, slow, many or not what the service takes."""

import asyncio
from typing import Any

import pytest

from serving.contract import CLIENT, UPLOAD, Upload
from serving.errors import (
    BodyTooLarge,
    ClientGone,
    Overloaded,
    RequestTooSlow,
    UnsupportedMediaType,
)
from serving.http import room
from serving.http.gate import Gate
from serving.http.room import LARGE_BODIES, LARGE_BODY_BYTES
from serving.settings import Settings

MB = 1_000_000
Task = asyncio.Task[None]
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

    def named(self, name: str) -> "Client":
        self.scope[CLIENT] = name
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


def assert_empty(the_gate: Gate) -> None:
    the_room = the_gate._room
    assert the_room.free == the_gate._settings.bodies_mb * MB
    held = [the_room._held, the_room._arriving, the_room._large, the_room._waiting]
    assert not any(held)


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
    assert_empty(the_gate)


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
    assert_empty(the_gate)


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


async def test_one_client_leaves_places_among_the_answers_to_another() -> None:
    app = Application()
    the_gate = gate(app, concurrency=10)
    greedy = [Client(DICOM).named("greedy").send(b"x") for _ in range(12)]
    tasks = [asyncio.create_task(client.through(the_gate)) for client in greedy]
    await asyncio.wait(tasks, timeout=0.1)
    refused = [task for task in tasks if task.done()]
    assert {type(task.exception()) for task in refused} == {Overloaded}
    assert len(refused) == 4  # eight are not fewer than four times the other two
    other = asyncio.create_task(Client(DICOM).named("other").send(b"y").through(the_gate))
    await asyncio.sleep(0.01)
    assert app.bodies[-1] == b"y"
    app.may_answer.set()
    await asyncio.gather(other, *(task for task in tasks if task not in refused))
    assert not the_gate._answering


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
    the_gate = gate(app, bodies_mb=3)
    inside = [
        asyncio.create_task(Client(DICOM).send(b"x" * MB).through(the_gate)) for _ in range(2)
    ]
    while len(app.bodies) < 2:
        await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await Client(DICOM).send(b"x" * MB).through(the_gate)
    app.may_answer.set()
    await asyncio.gather(*inside)
    await Client(DICOM).send(b"x" * MB).through(the_gate)
    assert_empty(the_gate)


async def test_large_bodies_wait_for_each_other_and_take_no_room_from_ordinary_ones() -> None:
    app = Application()
    the_gate = gate(app, bodies_mb=6)
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
    assert_empty(the_gate)


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
    assert_empty(the_gate)


def large_one() -> Client:
    return Client(DICOM).send(b"x" * LARGE_BODY_BYTES, more=True).send(b"x")


def begin(the_gate: Gate, name: str, n_bytes: int) -> Task:
    """Send the start of a body, and no more."""
    client = Client(DICOM).named(name).send(b"x" * n_bytes, more=True)
    return asyncio.create_task(client.through(the_gate))


async def test_what_one_client_holds_leaves_room_for_another(app: Application) -> None:
    the_gate = gate(app)
    stalled = [begin(the_gate, "one", LARGE_BODY_BYTES - 1) for _ in range(40)]
    await asyncio.wait(stalled, timeout=0.1)
    refused = [task for task in stalled if task.done()]
    assert {type(task.exception()) for task in refused} == {Overloaded}
    assert len(refused) == 28  # twelve of 4 MB are not more than four times the other 16 MB
    await asyncio.gather(
        *(Client(DICOM).named("two").send(b"x" * 400_000).through(the_gate) for _ in range(20))
    )
    await end(stalled)
    assert_empty(the_gate)


@pytest.mark.parametrize("is_one_client", [True, False])
async def test_stalled_bodies_give_way_to_one_that_comes(
    app: Application, is_one_client: bool
) -> None:
    the_gate = gate(app, bodies_mb=10)
    stalled = [begin(the_gate, "one" if is_one_client else str(i), MB) for i in range(9)]
    await asyncio.sleep(room.SLOW_AFTER_S + 0.1)
    held = [task for task in stalled if not task.done()]
    coming = Client(DICOM).named("one").send(b"x" * 900_000, more=True).send(b"x" * 900_000)
    await coming.through(the_gate)
    await asyncio.sleep(0.1)
    ended = [task for task in held if task.done()]
    assert {type(task.exception()) for task in ended} == {RequestTooSlow}
    assert 0 < len(ended) < len(held)  # no more than it takes
    assert ended == held[: len(ended)]  # the slowest first
    await end(stalled)
    assert_empty(the_gate)


async def test_the_slowest_one_ends_at_once_where_it_takes_more_itself(app: Application) -> None:
    the_gate = gate(app, bodies_mb=10)
    client = Client(DICOM).named("one").send(b"x" * 2 * MB, more=True)
    slowest = asyncio.create_task(client.through(the_gate))
    later = [begin(the_gate, "one", n_bytes) for n_bytes in (2 * MB, 3_800_000)]
    await asyncio.sleep(room.SLOW_AFTER_S + 0.1)
    client.send(b"x" * 250_000, more=True)
    await asyncio.wait([slowest], timeout=1.0)
    assert slowest.done()  # and no longer holds what it has sent
    assert isinstance(slowest.exception(), RequestTooSlow)
    assert not any(task.done() for task in later)
    await end(later)
    assert_empty(the_gate)


async def test_one_that_keeps_up_gives_way_to_nobody(app: Application) -> None:
    the_gate = gate(app, bodies_mb=5)
    client = Client(DICOM).named("steady").send(b"x" * 3 * MB, more=True)
    task = asyncio.create_task(client.through(the_gate))
    for _ in range(12):
        client.send(b"x" * room.SLOWEST_BYTES_PER_S, more=True)
        await asyncio.sleep(room.SLOW_AFTER_S / 4)
        with pytest.raises(Overloaded):
            await Client(DICOM).named("steady").send(b"x" * MB).through(the_gate)
    client.send(b"x")
    await task
    assert_empty(the_gate)


async def test_a_slow_client_gives_no_way_to_one_that_holds_more(app: Application) -> None:
    the_gate = gate(app, bodies_mb=10)
    slow = begin(the_gate, "slow", 100_000)
    await asyncio.sleep(room.SLOW_AFTER_S + 0.1)
    greedy = [begin(the_gate, "greedy", LARGE_BODY_BYTES - 1) for _ in range(9)]
    await asyncio.wait(greedy, timeout=0.1)
    assert [task.done() for task in greedy].count(True) == 8
    assert not slow.done()
    await end([slow, *greedy])
    assert_empty(the_gate)


async def test_a_large_body_that_trickles_loses_its_place_to_one_that_waits(
    app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "LARGE_SLOW_AFTER_S", 0.5)
    the_gate = gate(app)
    slow = [begin(the_gate, f"slow {i}", LARGE_BODY_BYTES + 1) for i in range(LARGE_BODIES)]
    await asyncio.sleep(1)
    assert not any(task.done() for task in slow)  # while nobody waits
    await large_one().named("other").through(the_gate)
    await asyncio.sleep(0.1)
    (ended,) = (task for task in slow if task.done())
    with pytest.raises(RequestTooSlow, match="while others wait"):
        await ended
    await end(slow)
    assert_empty(the_gate)


async def test_a_client_with_both_large_places_gives_one_to_another(
    app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "LARGE_SLOW_AFTER_S", 0.5)
    the_gate = gate(app)
    fast = [Client(DICOM).named("fast").send(b"x" * 5 * MB, more=True) for _ in range(9)]
    tasks = [asyncio.create_task(client.through(the_gate)) for client in fast]

    async def send_on() -> None:
        while True:
            for client in fast:
                client.send(b"x" * 100_000, more=True)
            await asyncio.sleep(0.1)

    sending = asyncio.create_task(send_on())
    await asyncio.sleep(0.2)
    await large_one().named("other").through(the_gate)  # before those of "fast" that wait
    await asyncio.sleep(0.1)
    assert {type(task.exception()) for task in tasks if task.done()} == {Overloaded}
    sending.cancel()
    await end(tasks)
    assert_empty(the_gate)


async def test_large_bodies_that_wait_give_way_to_ordinary_ones() -> None:
    app = Application()
    the_gate = gate(app, bodies_mb=20)
    large = [begin(the_gate, str(i), LARGE_BODY_BYTES + 1) for i in range(LARGE_BODIES)]
    waiting = [large_one().named(name) for name in ("third", "fourth")]
    large += [asyncio.create_task(client.through(the_gate)) for client in waiting]
    await asyncio.sleep(room.SLOW_AFTER_S + 0.1)
    assert the_gate._room.free == (20 - 8) * MB
    ordinary = [Client(DICOM).named(name).send(b"x" * (LARGE_BODY_BYTES - 1)) for name in "abcd"]
    inside = [asyncio.create_task(client.through(the_gate)) for client in ordinary]
    while len(app.bodies) < len(inside):
        await asyncio.sleep(0)
    await asyncio.sleep(0.1)
    assert {type(task.exception()) for task in large if task.done()} == {Overloaded}
    app.may_answer.set()
    await end([*large, *inside])
    assert_empty(the_gate)


async def end(tasks: list[Task]) -> None:
    """Cancel what still waits."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_pages_that_are_read_slowly_leave_the_metrics_readable() -> None:
    reading, shown = asyncio.Event(), list[str]()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        shown.append(scope["path"])
        if scope["path"] != "/metrics":
            await reading.wait()

    gate = Gate(app, Settings(concurrency=2))

    async def send(message: Any) -> None:
        raise AssertionError(message)

    def get(path: str) -> Any:
        scope = {"type": "http", "method": "GET", "path": path, "headers": []}
        return gate(scope, Client().pieces.get, send)

    pages = [asyncio.ensure_future(get("/page.js")) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await get("/page.js")
    await get("/metrics")
    assert shown == ["/page.js", "/page.js", "/metrics"]
    reading.set()
    await asyncio.gather(*pages)
