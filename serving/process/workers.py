"""Run the workers: replace one that died or hangs, and wait for none beyond its time to end.

uvicorn's supervisor waits for each answer to its pings in turn, so that a hung worker holds up the
signals and the other workers, and at the end it waits for a stopped worker without end.
"""

from __future__ import annotations

import asyncio
import socket
import time
from functools import cached_property

from uvicorn import Config
from uvicorn.config import STARTUP_FAILURE
from uvicorn.server import Server
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from serving.telemetry import log

# A worker that leaves a ping without an answer for so long hangs. On a busy machine a new one needs
# seconds until it can answer.
HUNG_AFTER_S = 15
# Between two looks at the workers, as uvicorn's loop has it.
_LOOK_S = 0.5


class LastAcceptingServer(Server):
    """uvicorn's server, which resets nobody who connected before it closes."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take the connections that wait to be accepted, then stop."""
        loop = asyncio.get_running_loop()
        for listener in sockets or []:
            for _ in range(self.config.backlog):  # more may come without an end
                try:
                    connection, _ = listener.accept()
                except OSError:
                    break  # none waits; or no file can be opened
                connection.setblocking(False)
                await loop.connect_accepted_socket(self._new_protocol, connection)
        await super().shutdown(sockets)

    def _new_protocol(self) -> asyncio.Protocol:
        new = self.config.http_protocol_class
        # typeshed's Protocol takes no arguments, uvicorn's protocols take these
        return new(self.config, self.server_state, self.lifespan.state)  # type: ignore[call-arg]


class Worker(Process):
    """One worker, as the supervisor sees it; in its own process it runs the server."""

    @cached_property
    def server(self) -> Server:
        """What it runs."""
        return LastAcceptingServer(self.config)


class Workers(Multiprocess):
    """uvicorn's supervisor, which never waits for a worker that does not answer.

    Args:
        config: of each worker's server.
        listener: which they share.
        end_within_s: after the SIGTERM; then a worker is killed.
    """

    def __init__(self, config: Config, listener: socket.socket, end_within_s: float) -> None:
        super().__init__(config, [listener])
        self._end_within_s = end_within_s
        # Looks, not seconds: those of a container that was paused are not the worker's fault.
        self._looks_without_answer: dict[int | None, int] = {}

    def init_processes(self) -> None:
        """Start them."""
        self.processes += [self._start() for _ in range(self.processes_num)]

    def _start(self) -> Worker:
        worker = Worker(self.config, self.sockets)
        worker.start()
        return worker

    def keep_subprocess_alive(self) -> None:
        """Replace the workers that died or hang; called twice a second."""
        for index, worker in enumerate(self.processes):
            if worker.process.is_alive():
                if not self._hangs(worker):
                    continue
                log.error("worker %d hangs: no answer for %d s", worker.pid, HUNG_AFTER_S)
            worker.kill()
            worker.process.join()
            self._looks_without_answer.pop(worker.pid, None)
            if worker.exitcode == STARTUP_FAILURE:
                self.should_exit.set()  # another one would fail as well
                return
            log.error("worker %d is gone (exit %s); another starts", worker.pid, worker.exitcode)
            self.processes[index] = self._start()

    def _hangs(self, worker: Process) -> bool:
        """Take the answer to the last ping, if it is there, and send the next one."""
        n_looks = self._looks_without_answer.get(worker.pid, 0)
        try:
            if worker.parent_conn.poll():
                worker.parent_conn.recv()
                n_looks = 0
            if not n_looks:
                worker.parent_conn.send(b"ping")
        except (OSError, EOFError):
            pass  # it is about to end, or never will: counted as no answer
        self._looks_without_answer[worker.pid] = n_looks + 1
        return n_looks * _LOOK_S >= HUNG_AFTER_S

    def handle_hup(self) -> None:
        """Change nothing: uvicorn would start workers of its own kind."""
        log.warning("SIGHUP, SIGTTIN and SIGTTOU change nothing; restart the server")

    handle_ttin = handle_ttou = handle_hup

    def terminate_all(self) -> None:
        """Tell the workers to end; who connects when they have is refused, and does not wait."""
        super().terminate_all()
        for listener in self.sockets:
            listener.close()

    def join_all(self) -> None:
        """Wait until the workers have ended; kill those that do not."""
        deadline = time.monotonic() + self._end_within_s
        for worker in self.processes:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.is_alive():
                log.error("worker %d has not ended in time: it is killed", worker.pid)
                worker.process.kill()
                worker.process.join()
