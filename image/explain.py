"""Explain in one line why an image was not built, from the log of the build."""

from __future__ import annotations

import re

# Pattern of a line of the log -> its meaning; the first match counts. The engine, pip, uv
# and our own commands write these lines.
CAUSES = (
    (
        r"(?P<what>[\w.-]+==[\w.]+) has no wheels with a matching",
        "the lock has no {what} for this platform; build for another one, or change"
        " requirements/serve.in and run make lock",
    ),
    (
        r"Hash mismatch for `(?P<what>[^`]+)`",
        "{what} differs from the lock; make lock rewrites requirements/serve.txt",
    ),
    (r"(?P<what>no space left on device)", "{what}; docker system prune frees some"),
    (
        r"CERTIFICATE_VERIFY_FAILED|certificate verify failed|UnknownIssuer|unknown authority",
        "a certificate is not trusted in the build; start --base on an image that trusts yours",
    ),
    (r"toomanyrequests", "the registry limits the rate of downloads; log in, or wait"),
    (
        r"manifests/(?P<what>[\w.-]+)\W*: dial tcp|failed to resolve source metadata",
        "the base image cannot be pulled; is there a network?",
    ),
    (
        r"dns error|name resolution|NewConnectionError|dial tcp|Failed to fetch",
        "the packages cannot be fetched; is there a network?",
    ),
    (r"^(?P<what>(?:rehearsal|service|preflight): .*)", "{what}"),
    (r"^ERROR: (?P<what>BuildKit is enabled.*)", "{what}"),
    (r"^(?:ERROR|error|Error): (?P<what>.*)", "{what}"),
)
LONGEST = 300


def explain(log: str) -> str:
    """Return the cause of a failure, in one line; the log's last line if no cause is recognised."""
    own, _, _ = log.partition("\nEncountered exception while")  # BentoML's own traceback
    # BuildKit puts the step and the time before each line.
    lines = [re.sub(r"^#\d+ (?:[\d.]+ )?", "", line) for line in own.splitlines()]
    for pattern, meaning in CAUSES:
        for line in lines:
            if found := re.search(pattern, line):
                return meaning.format(**found.groupdict())[:LONGEST]
    return next((line.strip() for line in reversed(lines) if line.strip()), "no reason given")[
        :LONGEST
    ]
