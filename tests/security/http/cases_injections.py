"""List what a careless server would execute or open: pickles, URLs and paths."""

from __future__ import annotations

import os
import pickle
import tempfile
from pathlib import Path

from tests.security.http.cases import DICOM, LISTENER, Case, form, part, post, text_part

TYPE = "415 unsupported_media_type"
NOT_DICOM = "415 not_dicom"
NOT_UPLOADED = "400 file_not_uploaded"
# Only a pickle that is executed makes it.
TRAP = Path(tempfile.gettempdir()) / f"spine-trap-{os.getpid()}"


class Trap:
    """Make a file when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(TRAP),)


PICKLE = pickle.dumps({"file": Trap(), "x": Trap()})
PICKLE_TYPES = (
    "application/vnd.bentoml+pickle",
    "Application/VND.BentoML+Pickle",
    "application/vnd.bentoml+pickle; charset=utf-8",
    "application/vnd.bentoml.pickle",
    "application/python-pickle",
    "application/x-pickle",
    "application/vnd.bentoml.multiple_outputs",
)
# How BentoML's runners announce a body in out-of-band buffers.
PAYLOAD = ("buffer-lengths: 10", "Payload-Container: PickleContainer", "args-number: 1")


def typed(content_type: str | bytes, body: bytes = DICOM) -> bytes:
    """Post a body under a type."""
    return post(body, content_type)


def asks_for(text: str) -> bytes:
    """Post a text where the file should be."""
    return form(text_part("file", text))


PICKLES = [
    *[Case(f"a pickle as {each}", typed(each, PICKLE), TYPE) for each in PICKLE_TYPES],
    Case("a pickle as DICOM", typed("application/dicom", PICKLE), NOT_DICOM),
    Case("a pickle as octet-stream", typed("application/octet-stream", PICKLE), NOT_DICOM),
    Case("a pickle as a file", form(part(PICKLE)), NOT_DICOM),
    Case("a pickle as the file's text", form(text_part("file", PICKLE)), NOT_UPLOADED),
    Case(
        "a pickle in a part that declares it",
        form(
            part(
                PICKLE,
                'form-data; name="file"; filename="a.pkl"',
                b"Content-Type: application/vnd.bentoml+pickle",
            )
        ),
        NOT_DICOM,
    ),
    Case(
        "a pickle in a field of its own",
        form(part(), text_part("args", PICKLE)),
        "400 parameter_unknown",
    ),
    Case(
        "a pickle as threshold",
        form(part(), text_part("threshold", PICKLE)),
        "400 threshold_invalid",
    ),
    Case("a pickle with a runner's headers", post(PICKLE, PICKLE_TYPES[0], *PAYLOAD), TYPE),
    Case(
        "a pickle with a runner's headers as DICOM",
        post(PICKLE, "application/dicom", *PAYLOAD),
        NOT_DICOM,
    ),
    *[
        Case(
            f"a pickle for {path}",
            post(PICKLE, PICKLE_TYPES[0], *PAYLOAD, target=path),
            "404 not_found",
        )
        for path in (
            "/score",
            "/runner/score",
            "/predict/submit",
            "/__call__",
            "/AutoencoderRunner/score",
        )
    ],
]

ELSEWHERE = [
    *[
        Case(f"the file is at {url}", asks_for(url), NOT_UPLOADED)
        for url in (
            f"http://{LISTENER}/a.dcm",
            f"HTTP://localhost{LISTENER[9:]}/a.dcm",
            f"http://2130706433{LISTENER[9:]}/",
            f"https://user:password@{LISTENER}/",
            f"gopher://{LISTENER}/_GET",
            f"ftp://{LISTENER}/",
            f"//{LISTENER}/share",
            "file:///etc/passwd",
            "/etc/passwd",
            "../../pretrained/MODEL_CARD.md",
            "data:application/dicom;base64,RElDTQ==",
            "s3://bucket/a.dcm",
        )
    ],
    Case("a URL as the file's bytes", form(part(f"http://{LISTENER}/".encode())), NOT_DICOM),
    Case(
        "a URL as file name",
        form(part(DICOM, f'form-data; name="file"; filename="http://{LISTENER}/"')),
        "200",
    ),
    Case(
        "a part that lies elsewhere",
        form(
            part(
                DICOM,
                'form-data; name="file"; filename="a"',
                f"Content-Location: http://{LISTENER}/".encode(),
            )
        ),
        "200",
    ),
    Case(
        "a part with an external body",
        form(
            part(
                b"",
                'form-data; name="file"; filename="a"',
                f'Content-Type: message/external-body; access-type=URL; URL="http://{LISTENER}/"'.encode(),
            )
        ),
        "400 empty_file",
    ),
    Case(
        "a body that lies elsewhere",
        post(
            DICOM,
            "application/dicom",
            f"Content-Location: http://{LISTENER}/",
            f"Referer: http://{LISTENER}/",
            f"Link: <http://{LISTENER}/>; rel=preload",
        ),
        "200",
    ),
    Case(
        "a threshold that lies elsewhere",
        form(part(), text_part("threshold", f"http://{LISTENER}/")),
        "400 threshold_invalid",
    ),
    Case(
        "XML that refers elsewhere",
        form(part(f'<?xml version="1.0"?><!DOCTYPE a SYSTEM "http://{LISTENER}/">'.encode())),
        NOT_DICOM,
    ),
]

INJECTIONS = [*PICKLES, *ELSEWHERE]
