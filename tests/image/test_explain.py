"""The log of a failed build becomes one line with what to do; the logs here are real ones."""

import pytest

from image.explain import LONGEST, explain

UV = "#9 3.1 error: No solution found when resolving dependencies\n#9 3.1   cause: Because "

LOGS = {
    # uv, for a platform without wheels
    UV + "onnxruntime==1.32.0 has no wheels with a matching platform tag (e.g.,"
    " `musllinux_1_2_aarch64`) and you require onnxruntime==1.32.0, we can conclude": (
        "the lock has no onnxruntime==1.32.0 for this platform; build for another one, or change"
        " requirements/serve.in and run make lock"
    ),
    # uv, with another hash in the lock
    "#9 4.0 error: Failed to download `onnxruntime==1.32.0`\n#9 4.0   cause: Hash mismatch for"
    " `onnxruntime==1.32.0`\n#9 4.0\n#9 4.0          Expected:": (
        "onnxruntime==1.32.0 differs from the lock; make lock rewrites requirements/serve.txt"
    ),
    # pip and uv, without a network
    "#9 0.430 WARNING: Retrying (Retry(total=4, connect=None)) after connection broken by"
    " 'NewConnectionError('<pip._vendor.urllib3.connection.HTTPSConnection object>: Failed'\n"
    "#9 7.941 ERROR: Could not find a version that satisfies the requirement uv==0.13.9": (
        "the packages cannot be fetched; is there a network?"
    ),
    "#9 3.8   cause: dns error\n#9 3.8   cause: error resolving DNS": (
        "the packages cannot be fetched; is there a network?"
    ),
    # BuildKit, without a network
    '#3 ERROR: failed to do request: Head "https://registry.example/v2/library/python/manifests/'
    '3.11-slim": dial tcp: lookup registry.example on 10.0.0.1:53: no such host': (
        "the base image cannot be pulled; is there a network?"
    ),
    # uv and BuildKit, behind a proxy that signs for everybody
    "#9 1.0 error: Failed to fetch: `https://index.example/x/`\n#9 1.0   cause: invalid peer"
    " certificate: UnknownIssuer": (
        "a certificate is not trusted in the build; start --base on an image that trusts yours"
    ),
    "#3 ERROR: toomanyrequests: You have reached your pull rate limit": (
        "the registry limits the rate of downloads; log in, or wait"
    ),
    "#12 ERROR: write /app/venv/lib/x.so: no space left on device": (
        "no space left on device; docker system prune frees some"
    ),
    # docker without buildx
    "ERROR: BuildKit is enabled but the buildx component is missing or broken.\n"
    "       Install the buildx component to build images with BuildKit:": (
        "BuildKit is enabled but the buildx component is missing or broken."
    ),
    # our own commands, in the build and before it
    "#14 1.952 service: model.onnx is damaged\n#14 2.1 rehearsal: the server ended with 1\n"
    "#14 ERROR: executor failed running [/bin/sh -c cd src]: exit code: 1": (
        "service: model.onnx is damaged"
    ),
    "Error: [build] bentofile.yaml is no mapping": "[build] bentofile.yaml is no mapping",
}


@pytest.mark.parametrize("log", LOGS, ids=list(LOGS.values()))
def test_a_log_becomes_one_line(log: str) -> None:
    assert explain(log) == LOGS[log]


def test_an_unknown_log_is_quoted_by_its_last_line() -> None:
    assert explain("one\n#3 0.1 two\n\n") == "two"


def test_what_bentoml_adds_is_left_out() -> None:
    log = (
        "invalid reference\n\nEncountered exception while trying to building image: Command '['/usr"
    )
    assert explain(log) == "invalid reference"


def test_a_cause_is_never_a_page() -> None:
    assert len(explain("error: " + "x" * 10_000)) == LONGEST


def test_an_empty_log_gives_no_reason() -> None:
    assert explain("") == "no reason given"
