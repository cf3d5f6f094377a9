"""Run the nginx of deploy/nginx with a test's port, certificate, folders and service."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.root import ROOT
from tests.security.http.raw_http import Answer, parse_answer
from tests.security.process_tree import wait_until
from tests.serving.server import free_port

SHIPPED = ROOT / "deploy" / "nginx"
# Debian keeps it where an ordinary user's PATH does not look.
NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
LOCALHOST = "127.0.0.1"
LIMIT_S = 40.0
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@dataclass(frozen=True)
class Proxy:
    """A running nginx.

    Args:
        port: on 127.0.0.1, with TLS.
        folder: with its logs.
        context: that believes its certificate.
    """

    port: int
    folder: Path
    context: ssl.SSLContext

    def client(self, address: str = LOCALHOST, connections: int = 10) -> httpx.Client:
        """A client on an address of 127.0.0.0/8."""
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        return httpx.Client(
            base_url=f"https://{LOCALHOST}:{self.port}",
            transport=httpx.HTTPTransport(
                verify=self.context, local_address=address, limits=limits, trust_env=False
            ),
            timeout=LIMIT_S,
        )

    def connect(self, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
        """A connection over which any bytes can be sent."""
        plain = socket.create_connection((LOCALHOST, self.port), timeout=LIMIT_S)
        return (context or self.context).wrap_socket(plain, server_hostname=LOCALHOST)

    def ask(self, *pieces: bytes) -> Answer:
        """Send any bytes; return the answer to the first request in them."""
        with self.connect() as connection:
            for piece in pieces:
                connection.sendall(piece)
            return answer_on(connection)

    def logs(self) -> str:
        """What it wrote."""
        return "".join((self.folder / name).read_text() for name in ("access.log", "error.log"))


def answer_on(connection: ssl.SSLSocket) -> Answer:
    """Read one answer."""
    received = b""
    while True:
        piece = connection.recv(65536)
        received += piece
        answer = parse_answer(received)
        if answer is not None:
            return answer
        assert piece, f"it closed after {received!r}"


def rest_of(connection: ssl.SSLSocket) -> bytes:
    """Read until the end, whether that is a close or a reset."""
    received = b""
    try:
        while piece := connection.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    return received


def command(folder: Path, *options: str) -> list[str]:
    """The command that runs the shipped files, to which `folder` links, with its values."""
    assert NGINX is not None
    return [NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf"), *options]


def prepare(folder: Path, ports: list[int], more: str = "") -> int:
    """Fill a folder with links to the shipped files, a certificate and the values of site/.

    Args:
        folder: empty.
        ports: of the services.
        more: of site/server.conf.

    Returns:
        Where nginx will listen.
    """
    port = free_port()
    for file in SHIPPED.glob("*.conf"):
        (folder / file.name).symlink_to(file)
    site = folder / "site"
    site.mkdir()
    # Another user's workers may not enter a test's folder.
    user = "user root;\n" if os.geteuid() == 0 else ""
    (site / "main.conf").write_text(f"daemon off;\npid {folder}/nginx.pid;\n{user}")
    shipped = (SHIPPED / "site/upstream.conf").read_text()
    upstream = "".join(shipped.replace("8000", str(each)) for each in ports)
    (site / "upstream.conf").write_text(upstream)
    paths = "".join(f"{name}_temp_path {folder}/{name};\n" for name in TEMPORARY)
    (site / "server.conf").write_text(
        f"listen {LOCALHOST}:{port} ssl;\n"
        f"ssl_certificate {folder}/cert.pem;\nssl_certificate_key {folder}/key.pem;\n"
        f"access_log {folder}/access.log spine;\n{paths}{more}"
    )
    kind = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=test"
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(  # noqa: S603 (all of it is ours)
        ["openssl", *kind.split(), "-addext", f"subjectAltName=IP:{LOCALHOST}", *files],  # noqa: S607
        check=True,
        capture_output=True,
    )
    return port


@contextmanager
def running_nginx(
    folder: Path, ports: list[int], more: str = "", prefix: Sequence[str] = ()
) -> Iterator[Proxy]:
    """Run nginx in front of services.

    Args:
        folder: see `prepare`.
        ports: see `prepare`.
        more: see `prepare`.
        prefix: a command that executes nginx's; the process stays one.
    """
    port = prepare(folder, ports, more)
    context = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    proxy = Proxy(port, folder, context)
    with (folder / "error.log").open("wb") as log:
        process = subprocess.Popen([*prefix, *command(folder)], stderr=log)  # noqa: S603 (see above)
    try:
        assert wait_until(lambda: _listens(proxy, process), 10), proxy.logs()
        yield proxy
    finally:
        process.terminate()
        process.wait(timeout=10)


def _listens(proxy: Proxy, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, proxy.logs()
    try:
        proxy.connect().close()
    except ConnectionRefusedError:
        return False
    return True
