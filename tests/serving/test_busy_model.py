"""A busy model, seen from outside: own scores, a full queue, clients that go, the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import bentoml
import httpx
import numpy as np
import pytest
from starlette.requests import Request

from serving.batching import Batcher
from serving.contract import RAISED, REQUEST_ID, UPLOAD, Upload
from serving.errors import ModelUnavailable
from serving.fairness import Claim
from tests.dicom_files import make_dicom, noise
from tests.serving.problems import assert_problem

pytestmark = pytest.mark.asyncio(loop_scope="session")

AnyBatcher = Batcher[Any, Any]


@pytest.fixture
def batcher(app: Any) -> AnyBatcher:
    """That of the application."""
    found: AnyBatcher = bentoml.get_current_service().batcher
    return found


def hold(batcher: AnyBatcher) -> threading.Event:
    """Hold up the model's only thread until the event is set."""
    gate = threading.Event()
    batcher._executor.submit(gate.wait, 60)
    return gate


@pytest.fixture
def gate(batcher: AnyBatcher) -> Iterator[threading.Event]:
    """Opens for the model of the application."""
    gate = hold(batcher)
    yield gate
    gate.set()


async def until_queued(n: int, batcher: AnyBatcher) -> None:
    """Return when the model has a batch, and so many slices wait for the next."""
    async with asyncio.timeout(20):
        while True:
            batcher._waiting.discard(lambda entry: entry[1].done())
            if not batcher._idle_threads and n == len(batcher._waiting):
                return
            await asyncio.sleep(0.001)


async def post(client: httpx.AsyncClient, data: bytes) -> httpx.Response:
    return await client.post("/predict", files={"file": ("slice.dcm", data)})


async def test_slices_that_queued_together_get_their_own_scores_each(
    client: httpx.AsyncClient, batcher: AnyBatcher
) -> None:
    files = [make_dicom(noise((80, 60), seed)) for seed in range(20)]
    alone = [(await post(client, file)).json()["reconstruction_mse"] for file in files]
    gate = hold(batcher)
    asked = [asyncio.create_task(post(client, files[0]))]
    await until_queued(0, batcher)
    asked += [asyncio.create_task(post(client, file)) for file in files[1:]]
    await until_queued(len(files) - 1, batcher)
    gate.set()
    together = [answer.json()["reconstruction_mse"] for answer in await asyncio.gather(*asked)]
    assert together == pytest.approx(alone, rel=1e-6)
    assert len(set(together)) == len(files)


async def test_a_full_queue_answers_429_with_when_to_try_again(
    client: httpx.AsyncClient, dicom: bytes, batcher: AnyBatcher, gate: threading.Event
) -> None:
    first = asyncio.create_task(post(client, dicom))
    await until_queued(0, batcher)
    x = np.zeros((1, 64, 64), np.float32)
    # Of as many clients, who sent more for their slices than this one.
    waiting = [batcher.submit(x, Claim(str(n))) for n in range(batcher._max_queue)]
    refused = await post(client, dicom)
    assert_problem(refused, 429, "overloaded")
    assert refused.headers["retry-after"] == "1"
    waiting.pop().cancel()
    late = asyncio.create_task(post(client, dicom))  # finds the place that became free
    await until_queued(batcher._max_queue, batcher)
    gate.set()
    await asyncio.gather(*waiting)
    assert [(await answer).status_code for answer in (first, late)] == [200, 200]


async def test_a_client_that_vanishes_takes_its_slice_out_of_the_queue(
    app: Any, client: httpx.AsyncClient, dicom: bytes, batcher: AnyBatcher, gate: threading.Event
) -> None:
    first = asyncio.create_task(post(client, dicom))
    await until_queued(0, batcher)
    headers = {"content-type": "application/dicom", "content-length": str(len(dicom))}
    scope = {
        **{"type": "http", "method": "POST", "path": "/predict", "raw_path": b"/predict"},
        **{"query_string": b"", "http_version": "1.1", "scheme": "http", "root_path": ""},
        **{"client": ("127.0.0.1", 9), "server": ("spine.test", 80), "asgi": {"version": "3.0"}},
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    messages.put_nowait({"type": "http.request", "body": dicom, "more_body": False})

    async def send(message: Any) -> None:
        pass  # nobody is there

    gone = asyncio.create_task(app(scope, messages.get, send))
    await until_queued(1, batcher)
    messages.put_nowait({"type": "http.disconnect"})
    await until_queued(0, batcher)  # the model is still held up
    await gone
    gate.set()
    assert (await first).status_code == 200


async def test_the_end_answers_what_is_queued_and_takes_nothing_new(app: Any, dicom: bytes) -> None:
    import service

    ending = service.SpineAnomaly()
    gate = hold(ending.batcher)

    async def score() -> float:
        """Predict as a request that is in flight at the end."""
        scope: dict[str, object] = {
            "type": "http",
            REQUEST_ID: "id",
            UPLOAD: Upload(dicom, None, None, 0.0),
        }
        nothing_more: asyncio.Queue[Any] = asyncio.Queue()
        ctx = SimpleNamespace(
            request=Request(scope, nothing_more.get), response=SimpleNamespace(status_code=200)
        )
        answer = await ending.predict.local(dicom, None, None, ctx=ctx)
        if isinstance(error := scope.get(RAISED), Exception):
            raise error
        return float(answer.reconstruction_mse)

    queued = [asyncio.create_task(score())]
    await until_queued(0, ending.batcher)
    queued += [asyncio.create_task(score()) for _ in range(12)]
    await until_queued(12, ending.batcher)
    closing = asyncio.create_task(ending.close())
    await asyncio.sleep(0)
    with pytest.raises(ModelUnavailable):
        await score()
    assert not closing.done()
    gate.set()
    await closing
    scores = await asyncio.gather(*queued)
    assert scores == pytest.approx([scores[0]] * 13, rel=1e-6)
