"""Let the signals that end a server wait until somebody obeys them; imports nothing of ours."""

import signal

_STOPS = (signal.SIGTERM, signal.SIGINT)


def hold_signals() -> None:
    """Let SIGTERM and SIGINT wait: process 1 of a container would ignore them without a handler."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)


def obey_signals() -> None:
    """Deliver them from now on, one that has waited first."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
