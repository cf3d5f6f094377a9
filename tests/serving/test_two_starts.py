"""`python -m serving` and plain `bentoml serve` answer the same bytes."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.dicom_files import encapsulated, make_dicom, noise
from tests.preprocessing.decoding.codestreams import RLE, encode_rle
from tests.serving.server import bentoml_serve, serve

RAW = {"Content-Type": "application/dicom"}
# What differs from one request to the next, whoever answers.
_CHANGING = re.compile(rb'[0-9a-f]{32}|"inference_time_ms": ?[0-9.]+')


@pytest.fixture(scope="module")
def clients(
    model_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[httpx.Client]]:
    """One client of each start."""
    folder = tmp_path_factory.mktemp("starts")
    home = {"BENTOML_HOME": str(model_store), "SPINE_METRICS": "closed"}
    with (
        serve(folder / "serving", **home) as (one, _),
        bentoml_serve(folder / "bentoml", **home) as (two, _),
        httpx.Client(base_url=one) as first,
        httpx.Client(base_url=two) as second,
    ):
        yield [first, second]


def files() -> dict[str, bytes]:
    pixels = noise((80, 60))
    return {
        "slice": make_dicom(pixels),
        "frames": make_dicom(noise((3, 64, 64))),
        "compressed": encapsulated(pixels, RLE, [encode_rle(pixels)]),
        "CT": make_dicom(pixels, Modality="CT"),
        "cut": make_dicom(pixels)[:-100],
        "text": b"no DICOM file",
        "nothing": b"",
    }


REQUESTS: dict[str, tuple[str, str, dict[str, object]]] = {
    **{
        f"raw {name}": ("POST", "/predict", {"content": data, "headers": RAW})
        for name, data in files().items()
    },
    "form": ("POST", "/predict?threshold=0.02", {"files": {"file": files()["slice"]}}),
    "bad threshold": ("POST", "/predict?threshold=x", {"files": {"file": files()["slice"]}}),
    "bad rate": ("POST", "/predict?alarm_rate=2", {"files": {"file": files()["slice"]}}),
    "no file": ("POST", "/predict", {"files": {"other": b"1"}}),
    "twice": ("POST", "/predict", {"files": [("file", b"1"), ("file", b"2")]}),
    "JSON": ("POST", "/predict", {"json": {}}),
    "large": ("POST", "/predict", {"content": bytes(33_000_000), "headers": RAW}),
    "method": ("GET", "/predict", {}),
    "path": ("GET", "/nothing", {}),
    "closed": ("GET", "/metrics", {}),
    "live": ("GET", "/livez", {}),
    "ready": ("GET", "/readyz", {}),
    "page": ("GET", "/", {}),
    "document": ("GET", "/docs.json", {}),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_both_starts_answer_the_same(clients: list[httpx.Client], name: str) -> None:
    method, path, options = REQUESTS[name]
    first, second = (client.request(method, path, **options) for client in clients)  # type: ignore[arg-type]
    assert first.status_code == second.status_code
    assert fixed(first.content) == fixed(second.content)
    for answer in (first, second):
        for changing in ("date", "x-request-id", "content-length"):  # a time has more digits
            answer.headers.pop(changing, None)
    assert first.headers == second.headers


def fixed(body: bytes) -> bytes:
    """A body without request_id and time."""
    return _CHANGING.sub(b"", body)
