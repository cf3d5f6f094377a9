"""Start containers of the image under its limits, look into them, and always remove them."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from image.engine import ask
from tests.image import control_group
from tests.security import process_tree
from tests.security.servers import Endpoint
from tests.serving.server import free_port

IMAGE = os.environ.get("IMAGE") or "dicom-autoencoder:latest"
USER = "10001:10001"  # the image's own
NOBODY = "4711:4711"  # no line of /etc/passwd has it
ROOT_GROUP = "4711:0"  # as OpenShift starts containers
READY_WITHIN_S = 60.0
MIB = 1 << 20
# Worker for worker, its last line before it is ready.
_INITIALIZED = re.compile(r"Service spine_anomaly initialized$", re.MULTILINE)


@dataclass(frozen=True)
class Limits:
    """What a container may use; the rights that are taken from it are the same in all.

    Args:
        workers: processes that answer.
        memory_mb: MiB, swap included, so that there is none.
        user: uid or uid:gid; the image's own without one.
        has_tmp: /tmp is a tmpfs of 64 MiB.
        network: the host's, as an engine without a bridge has no other that is reached from here.
        options: of `docker create`, after all others.
    """

    workers: int = 1
    memory_mb: int = 256
    user: str = ""
    has_tmp: bool = True
    network: str = "host"
    options: tuple[str, ...] = ("--read-only",)

    def arguments(self) -> list[str]:
        """Return the options of `docker create`."""
        memory = f"{self.memory_mb}m"
        network = ["--network", self.network]
        rights = ["--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
        user = ["--user", self.user] if self.user else []
        tmp = ["--tmpfs", "/tmp:size=64m"] if self.has_tmp else []  # noqa: S108  # a mount
        sizes = ["--memory", memory, "--memory-swap", memory]
        return [*network, *rights, *sizes, *user, *tmp, *self.options]


ONE_WORKER = Limits()
TWO_WORKERS = Limits(workers=2, memory_mb=512)


@dataclass(frozen=True)
class Container(Endpoint):
    """A container that exists.

    Args:
        id: of the container.
        limits: it was made with.
    """

    id: str
    limits: Limits

    def start(self) -> None:
        """Start it and return at once."""
        ask("start", self.id)

    def start_and_wait(self) -> float:
        """Start it and wait until each worker is there and /readyz is answered with 200.

        Returns:
            Seconds that took.
        """
        began = time.monotonic()
        self.start()
        deadline = began + READY_WITHIN_S
        while not (self._is_ready() and self._n_initialized() >= self.limits.workers):
            assert self.state()["Running"], f"it ended:\n{self.logs()}"
            assert time.monotonic() < deadline, f"not ready:\n{self.logs()}"
            time.sleep(0.05)
        return time.monotonic() - began

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _n_initialized(self) -> int:
        return len(_INITIALIZED.findall(self.logs()))

    def wait(self) -> int:
        """Wait until it has ended; its exit code."""
        return int(ask("wait", self.id))

    def stop(self, grace_s: int = 30) -> None:
        """Stop it, and wait until it has ended; killed after the grace."""
        ask("stop", "--time", str(grace_s), self.id)

    def inspect(self) -> dict[str, Any]:
        """All that the engine knows of it."""
        found: list[dict[str, Any]] = json.loads(ask("inspect", self.id))
        return found[0]

    def state(self) -> dict[str, Any]:
        """Running, ExitCode, OOMKilled and so on."""
        state: dict[str, Any] = self.inspect()["State"]
        return state

    def logs(self) -> str:
        """All that its processes wrote."""
        command = ["docker", "logs", self.id]
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.run(command, **output, text=True, check=True).stdout  # type: ignore[call-overload,no-any-return] # noqa: S603

    def changed_files(self) -> list[str]:
        """Paths that differ from the image, mounts left out."""
        return [line.split(maxsplit=1)[1] for line in ask("diff", self.id).splitlines()]

    def ask_processes(self, expression: str) -> Any:
        """Evaluate an expression of `process_tree` in there; the answer went through JSON.

        In there, because only root and the container's user may look at its processes, and because
        the engine may be in a machine of its own.
        """
        source = Path(process_tree.__file__).read_text()
        script = f"{source}\nimport json\nprint(json.dumps({expression}))\n"
        return json.loads(ask("exec", "--interactive", self.id, "python", "-", text=script))

    def workers(self) -> list[int]:
        """The processes that answer, as it numbers them."""
        return sorted(self.ask_processes(f"workers(1, {self.port})"))

    def memory(self) -> control_group.Memory:
        """What it uses of its limit."""
        return control_group.parse(ask("exec", self.id, "sh", "-c", control_group.COMMAND))


@contextmanager
def container(limits: Limits = ONE_WORKER, **environ: str) -> Iterator[Container]:
    """Make a container, on a free port of the host's loopback; it is removed at the end.

    Args:
        limits: of it.
        environ: variables besides PORT, BENTOML_HOST and SPINE_WORKERS.
    """
    port = free_port()
    given = {"PORT": str(port), "BENTOML_HOST": "127.0.0.1", "SPINE_WORKERS": str(limits.workers)}
    variables = [f"--env={name}={value}" for name, value in (given | environ).items()]
    create = ["create", *limits.arguments(), *variables, IMAGE]
    made = Container(port, ask(*create), limits)
    try:
        yield made
    finally:
        ask("rm", "--force", "--volumes", made.id)


@contextmanager
def running(limits: Limits = ONE_WORKER, **environ: str) -> Iterator[Container]:
    """Make a container, start it and wait until it is ready."""
    with container(limits, **environ) as made:
        made.start_and_wait()
        yield made


def run_to_its_end(limits: Limits = ONE_WORKER, **environ: str) -> tuple[int, str]:
    """Start a container that ends by itself; its exit code and all that it wrote."""
    with container(limits, **environ) as made:
        made.start()
        return made.wait(), made.logs()


def run_in_image(*command: str, text: str = "", user: str = USER) -> str:
    """Run another command than the server in the image; its standard output."""
    options = ["--rm", "--interactive", "--network", "none", "--user", user, "--read-only"]
    return ask("run", *options, "--entrypoint", command[0], IMAGE, *command[1:], text=text)
