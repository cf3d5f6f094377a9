"""The nginx of deploy/nginx keeps from the service what a reverse proxy does better."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path

import httpx
import pytest

from serving.problems import MEDIA_TYPE, Problem
from serving.settings import Settings
from tests.deploy.nginx import (
    NGINX,
    SHIPPED,
    Proxy,
    command,
    prepare,
    rest_of,
    running_nginx,
)
from tests.dicom_files import make_dicom, noise
from tests.mount_namespace import unshare
from tests.security import process_tree
from tests.security.servers import Server, hostile_server
from tests.serving.server import free_port

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed (apt install nginx)"),
]

KEYS = ("first-key-of-the-test", "second-key-of-the-test")
DICOM = {"Content-Type": "application/dicom"}
FIRST, SECOND = ({**DICOM, "X-API-Key": key} for key in KEYS)
FILE = make_dicom(noise((64, 64)))
BEHIND = {"SPINE_TRUSTED_PROXIES": "127.0.0.1"}
STALLED = 40
as_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="where nginx believes to be root, it gives its files to another user"
)


@pytest.fixture(scope="module")
def server(model_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with two keys."""
    folder = tmp_path_factory.mktemp("server")
    with hostile_server(model_store, folder, SPINE_API_KEY=",".join(KEYS), **BEHIND) as server:
        yield server


@pytest.fixture
def proxy(server: Server, tmp_path: Path) -> Iterator[Proxy]:
    """An nginx in front of it, which has counted nothing yet."""
    with running_nginx(tmp_path, [server.port]) as proxy:
        yield proxy


def head(line: str, *fields: str) -> bytes:
    """Write a request's head."""
    return "\r\n".join([f"{line} HTTP/1.1", "Host: spine.test", *fields, "", ""]).encode()


def assert_problem(status: int, headers: httpx.Headers, body: bytes, code: str) -> str:
    """Check that an answer has the service's shape; return its detail."""
    found = json.loads(body)
    problem = Problem(status, code, found["title"], found["detail"])
    assert found == json.loads(problem.body(headers["x-request-id"]))
    assert headers["content-type"] == MEDIA_TYPE
    assert headers["cache-control"] == "no-store"
    return problem.detail


def assert_refuses(proxy: Proxy, request: bytes, status: int, code: str) -> None:
    """Check how a request is refused."""
    answer = proxy.ask(request)
    assert answer.status == status, (request[:100], answer)
    assert_problem(status, httpx.Headers(list(answer.fields)), answer.body, code)


def test_the_configuration_has_no_fault_and_no_warning(server: Server, tmp_path: Path) -> None:
    prepare(tmp_path, [server.port])
    tested = subprocess.run(  # noqa: S603 (see there)
        command(tmp_path, "-t"), capture_output=True, text=True, check=True
    )
    assert [line.rpartition(" ")[2] for line in tested.stderr.splitlines()] == ["ok", "successful"]


@as_root
def test_the_shipped_values_of_a_host_are_valid_too(tmp_path: Path) -> None:
    for folder in ("etc", "keys"):
        (tmp_path / folder).mkdir()
    prepare(tmp_path / "keys", [])
    script = (
        'mount --bind "$1/etc" /etc/nginx && cp -r "$2"/. /etc/nginx && mkdir /etc/nginx/tls'
        ' && cp "$1/keys/cert.pem" /etc/nginx/tls/fullchain.pem'
        ' && cp "$1/keys/key.pem" /etc/nginx/tls/privkey.pem'
        ' && mount -t tmpfs tmpfs /var/log/nginx && "$3" -t -q'
    )
    tested = subprocess.run(  # noqa: S603 (all of it is ours)
        [*unshare(), "sh", "-c", script, "sh", str(tmp_path), str(SHIPPED), str(NGINX)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (tested.returncode, tested.stderr) == (0, "")


def test_over_tls_the_answer_is_the_same_and_names_the_clients_request(
    server: Server, proxy: Proxy
) -> None:
    named = {"X-Request-ID": uuid.uuid4().hex}
    bearer = {**DICOM, "Authorization": f"bearer {KEYS[1]}"}
    with proxy.client() as through, httpx.Client() as direct:
        answers = [
            client.post(url, content=FILE, headers=key | named)
            for client, url in ((direct, f"http://127.0.0.1:{server.port}/predict"),
                                (through, "/predict"))
            for key in (FIRST, bearer)
        ]  # fmt: skip
        assert [answer.status_code for answer in answers] == [200] * 4
        in_chunks = through.post("/predict", content=iter([FILE]), headers=FIRST)
        assert in_chunks.status_code == 200
    bodies = [answer.json() | {"inference_time_ms": 0} for answer in answers]
    assert bodies == [bodies[0]] * 4
    assert "max-age" in answers[-1].headers["strict-transport-security"]


def test_only_current_tls_is_spoken(proxy: Proxy) -> None:
    with proxy.connect() as connection:
        assert connection.version() == "TLSv1.3"
    without_secrecy = ssl.create_default_context(cafile=str(proxy.folder / "cert.pem"))
    without_secrecy.maximum_version = ssl.TLSVersion.TLSv1_2
    without_secrecy.set_ciphers("AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA")
    with pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
        proxy.connect(without_secrecy)
    # Without TLS the key has been sent already, but nothing more follows.
    in_the_clear = httpx.get(f"http://127.0.0.1:{proxy.port}/docs.json")
    assert in_the_clear.status_code == 400
    assert_problem(400, in_the_clear.headers, in_the_clear.content, "bad_request")


@pytest.mark.parametrize(
    "target",
    [
        *("/metrics", "//metrics", "/x/../metrics", "/%6detrics", "/metrics?x", "/metrics/"),
        *("/livez", "/readyz", "/healthz", "https://spine.test/metrics", "/problem", "/other"),
    ],
)
def test_what_is_for_the_inside_does_not_exist_outside(proxy: Proxy, target: str) -> None:
    key = f"X-API-Key: {KEYS[0]}"
    assert_refuses(proxy, head(f"GET {target}", key), 404, "not_found")


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (head("GET /" + "x" * 9000), 414, "target_too_long"),
        (head("GET /docs.json", "X-Long: " + "x" * 9000), 431, "headers_too_large"),
        (head("POST /predict", "Content-Length: 32000001"), 413, "body_too_large"),
        (head("POST /predict", "Transfer-Encoding: gzip, chunked"), 400, "bad_request"),
        (
            head("POST /predict", "Transfer-Encoding: chunked", "Content-Length: 5"),
            400,
            "bad_request",
        ),
        (head("POST /predict", "Content-Length: 5", "Content-Length: 6"), 400, "bad_request"),
        (head("GET /docs.json", "Host: other.test"), 400, "bad_request"),
        (head("TRACE /docs.json"), 400, "bad_request"),
        (b"GET / HTTP/9.9\r\n\r\n", 400, "bad_request"),
        (b"\x00\x01nothing like HTTP\r\n\r\n", 400, "bad_request"),
    ],
)
def test_what_nginx_refuses_is_answered_as_the_service_answers(
    proxy: Proxy, request_: bytes, status: int, code: str
) -> None:
    assert_refuses(proxy, request_, status, code)


def test_a_body_in_chunks_is_refused_where_it_exceeds_the_limit(proxy: Proxy) -> None:
    with proxy.client() as client:
        pieces = iter([bytes(1_000_000)] * 33)
        answer = client.post("/predict", content=pieces, headers=FIRST)
    assert answer.status_code == 413
    assert_problem(413, answer.headers, answer.content, "body_too_large")


@pytest.mark.parametrize(("announced", "n_held"), [(370_000, STALLED), (4_000_000, 4)])
def test_40_stalled_bodies_disturb_nobody_and_never_reach_the_service(
    server: Server, proxy: Proxy, announced: int, n_held: int
) -> None:
    (worker,) = server.workers()
    start = head("POST /predict", f"X-API-Key: {KEYS[0]}", f"Content-Length: {announced}")
    with ExitStack() as stack:
        stalled = [stack.enter_context(proxy.connect()) for _ in range(STALLED)]
        for connection in stalled:
            connection.sendall(start + bytes(1000))
        with proxy.client() as client:
            for _ in range(10):
                assert client.post("/predict", content=FILE, headers=SECOND).status_code == 200
        # Of the honest ones nginx keeps its connections for a second.
        assert process_tree.wait_until(
            lambda: not process_tree.client_ports(worker, server.port), 5
        )
        ends = [rest_of(connection) for connection in stalled]
    # nginx closes what stalls without an answer; large bodies beyond four never had a place.
    assert Counter(end[:12] for end in ends) == Counter(
        {b"": n_held, b"HTTP/1.1 429": STALLED - n_held} if n_held < STALLED else {b"": n_held}
    )
    assert "request_too_slow" not in server.log.read_text()


def ask_until(client: httpx.Client, n_threads: int, seconds: float, status: int) -> Counter[int]:
    """Ask with a key on many connections at once until an answer has a status, or for a while."""
    seen: Counter[int] = Counter()
    either = cycle([FIRST, {"Authorization": f"Bearer {KEYS[0]}"}])
    until = time.monotonic() + seconds

    def ask(_: int) -> None:
        while status not in seen and time.monotonic() < until:
            answer = client.get("/docs.json", headers=next(either))
            if answer.status_code == 429 and not seen[429]:
                assert answer.headers["retry-after"] == "1"
                detail = assert_problem(429, answer.headers, answer.content, "rate_limited")
                assert "fewer connections" in detail  # it is nginx that says so
            seen[answer.status_code] += 1

    with ThreadPoolExecutor(n_threads) as threads:
        list(threads.map(ask, range(n_threads)))
    return seen


def test_a_key_that_is_used_too_often_is_slowed_down_and_then_refused(proxy: Proxy) -> None:
    started = time.monotonic()
    with proxy.client(connections=60) as greedy, proxy.client("127.0.0.2") as other:
        patient = ask_until(greedy, 30, 4, status=429)
        assert set(patient) == {200}
        # Bounded by 60 a second from a burst of 60 on; what is above that waited.
        assert patient[200] <= 60 + 30 + 60 * (time.monotonic() - started)
        assert set(ask_until(greedy, 60, 60, status=429)) == {200, 429}
        assert other.get("/docs.json", headers=SECOND).status_code == 200


NAMED = "set_real_ip_from 127.0.0.1;\nreal_ip_header X-Forwarded-For;\n"


def test_a_64_of_ipv6_is_one_client_and_a_mapped_address_is_that_of_ipv4(
    server: Server, tmp_path: Path
) -> None:
    def ask(proxy: Proxy, address: str) -> int:
        fields = (f"X-Forwarded-For: {address}", f"X-API-Key: {KEYS[1]}")
        return proxy.ask(head("GET /docs.json", *fields)).status

    taken = [*["2001:db8:0:1::a"] * 64, *["::ffff:192.0.2.1"] * 64]
    with running_nginx(tmp_path, [server.port], NAMED) as proxy, ExitStack() as stack:
        for number, address in enumerate(taken):
            connection = stack.enter_context(proxy.connect())
            fields = (f"X-Forwarded-For: {address}", f"X-API-Key: {number}")
            connection.sendall(head("POST /predict", "Content-Length: 10", *fields))
        assert process_tree.wait_until(lambda: ask(proxy, "2001:db8:0:1::b") == 429, 5)
        assert process_tree.wait_until(lambda: ask(proxy, "192.0.2.1") == 429, 5)
        assert ask(proxy, "2001:db8:0:1:ffff:ffff:ffff:ffff") == 429
        for other in ("2001:db8:0:2::a", "::ffff:192.0.2.2", "192.0.2.2", "::1"):
            assert ask(proxy, other) == 200, other


def test_the_service_counts_and_logs_the_clients_own_address(
    model_store: Path, tmp_path: Path
) -> None:
    rates = {"SPINE_RATE_PER_S": "1", "SPINE_RATE_BURST": "3"}
    folders = [tmp_path / name for name in ("server", "nginx")]
    for folder in folders:
        folder.mkdir()
    with ExitStack() as stack:
        server = stack.enter_context(hostile_server(model_store, folders[0], **BEHIND, **rates))
        proxy = stack.enter_context(running_nginx(folders[1], [server.port]))
        greedy, other = (stack.enter_context(proxy.client(f"127.0.0.{i}")) for i in (2, 3))
        answers = [
            greedy.post("/predict", content=FILE, headers={**DICOM, "X-Forwarded-For": forged})
            for forged in (f"203.0.113.{number}" for number in range(30))
        ]
        assert {answer.status_code for answer in answers} == {200, 429}
        refused = next(answer for answer in answers if answer.status_code == 429)
        detail = assert_problem(429, refused.headers, refused.content, "rate_limited")
        assert "fewer connections" not in detail  # it is the service that says so
        assert other.post("/predict", content=FILE, headers=DICOM).status_code == 200
        # It logs an answer when that is on its way already.
        assert process_tree.wait_until(lambda: "127.0.0.3:" in server.log.read_text(), 5)
        assert "127.0.0.2:" in server.log.read_text()
        assert "203.0.113." not in server.log.read_text()


def test_a_service_that_is_down_is_503_with_a_time_to_try_again(tmp_path: Path) -> None:
    with running_nginx(tmp_path, [free_port()]) as proxy, proxy.client() as client:
        answer = client.post("/predict", content=FILE, headers=FIRST)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert_problem(503, answer.headers, answer.content, "model_unavailable")


@as_root
def test_no_space_for_large_bodies_is_503_and_leaves_the_others_alone(
    server: Server, tmp_path: Path
) -> None:
    mounted = 'mkdir "$0" && mount -t tmpfs -o size=2m tmpfs "$0" && exec "$@"'
    prefix = [*unshare(), "sh", "-c", mounted, str(tmp_path / "client_body")]
    with (
        running_nginx(tmp_path, [server.port], prefix=prefix) as proxy,
        proxy.client() as client,
    ):
        large = client.post("/predict?name=Zqmarker", content=bytes(4_000_000), headers=FIRST)
        assert client.post("/predict", content=FILE, headers=FIRST).status_code == 200
    assert (large.status_code, large.headers["retry-after"]) == (503, "2")
    assert "no space" in assert_problem(503, large.headers, large.content, "model_unavailable")
    assert "Zqmarker" not in proxy.logs()


def test_a_file_that_ended_a_worker_is_not_sent_to_the_next(server: Server, tmp_path: Path) -> None:
    n_read = 0

    def read_and_die(listener: socket.socket) -> None:
        nonlocal n_read
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # the test is over
            with connection:
                n_read += connection.recv(65536).startswith(b"POST")

    with socket.create_server(("127.0.0.1", 0)) as dying, ThreadPoolExecutor(1) as thread:
        thread.submit(read_and_die, dying)
        port = dying.getsockname()[1]
        with running_nginx(tmp_path, [port, server.port]) as proxy, proxy.client() as client:
            answers = [client.post("/predict", content=FILE, headers=FIRST) for _ in range(8)]
        dying.shutdown(socket.SHUT_RDWR)
    counted = Counter(answer.status_code for answer in answers)
    assert n_read > 0
    assert counted == {200: 8 - n_read, 503: n_read}


def test_a_service_that_stops_answers_what_it_took_and_nothing_is_sent_twice(
    model_store: Path, tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in ("first", "second", "nginx")]
    for folder in folders:
        folder.mkdir()
    drain = {**BEHIND, "SPINE_DRAIN_S": str(Settings().drain_s)}
    answered: dict[str, int] = {}
    is_over = threading.Event()

    def post(client: httpx.Client) -> None:
        while not is_over.is_set():
            name = uuid.uuid4().hex
            named = {**DICOM, "X-Request-ID": name}
            answered[name] = client.post("/predict", content=FILE, headers=named).status_code

    with ExitStack() as stack:
        servers = [
            stack.enter_context(hostile_server(model_store, folder, **drain))
            for folder in folders[:2]
        ]
        proxy = stack.enter_context(running_nginx(folders[2], [each.port for each in servers]))
        threads = stack.enter_context(ThreadPoolExecutor(8))
        stack.callback(is_over.set)
        # Several addresses: one alone is slowed down.
        clients = [stack.enter_context(proxy.client(f"127.0.0.{i}")) for i in range(2, 10)]
        posting = [threads.submit(post, client) for client in clients]
        time.sleep(1)
        servers[0].process.send_signal(signal.SIGTERM)
        servers[0].process.wait(timeout=25)
        time.sleep(1)
        is_over.set()
        for each in posting:
            each.result()
        logs = [each.log.read_text() for each in servers]
    counted = Counter(answered.values())
    # 503: what waited in the backlog of the stopping service, which has not read it.
    assert set(counted) <= {200, 503}
    seen = Counter(name for log in logs for name in answered if f"request {name}: " in log)
    assert seen == Counter(name for name, status in answered.items() if status == 200)
    assert all(any(name in log for name in answered) for log in logs)


def test_logs_name_no_file_no_key_and_no_query(proxy: Proxy, server: Server) -> None:
    marker = "Zqmarker"
    form = {"file": (f"{marker}.dcm", FILE, DICOM["Content-Type"])}
    with proxy.client() as client:
        key = {"X-API-Key": KEYS[0]}
        assert client.post("/predict", files=form, headers=key).status_code == 200
        named = {"Referer": marker, "User-Agent": marker, "X-Request-ID": marker}
        for target in (f"/predict?name={marker}", f"/{marker}", f"/metrics?{marker}"):
            client.post(target, content=bytes(33_000_000), headers=named)
            client.post(target, content=FILE, headers=named | key)
    proxy.ask(head(f"{marker.upper()} /predict"))
    logs = proxy.logs()
    assert '"POST /predict" 200' in logs
    assert '"POST /predict" 413' in logs
    assert marker.lower() not in logs.lower()
    assert not any(key in logs for key in KEYS)
