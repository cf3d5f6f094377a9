"""Hold back the signals that end a server until they can be handled; imports nothing of ours."""

import signal

_STOPS = (signal.SIGTERM, signal.SIGINT)


def hold_signals() -> None:
    """Block SIGTERM and SIGINT: process 1 of a container ignores them without a handler."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)


def obey_signals() -> None:
    """Deliver them from now on, starting with one that has waited."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
