"""Parse a complete request to POST /predict: its file, and what is to decide."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from difflib import get_close_matches
from urllib.parse import parse_qsl

from serving.contract import Upload
from serving.errors import (
    BadAlarmRate,
    BadThreshold,
    DecidersConflict,
    MissingFile,
    NotAnUpload,
    RepeatedFile,
    RequestError,
    UnexpectedFile,
    UnknownParameter,
)
from serving.http.multipart import Part, parse_multipart

FORM = "multipart/form-data"
PARAMETERS = ("threshold", "alarm_rate")
# RFC 7578, 4.6: a form may name the character set of its fields.
_OTHER_FIELDS = ("file", "_charset_")
_IN_QUERY = "the query has a parameter"
_IN_FORM = "the form has a field"
# Only one way to match any text: `\d+\.?\d*` would try each split of a long run of digits.
_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
# A double's shortest form has 24 characters at most.
_MAX_NUMBER_LENGTH = 64
# No name of ours is longer; what is longer than this is compared by its beginning.
_MAX_NAME_LENGTH = 32


def read_upload(
    body: bytes, media_type: str, boundary: bytes, query: bytes, received_at: float
) -> Upload:
    """Take the file and what is to decide from a request.

    Args:
        body: everything that was sent.
        media_type: FORM, or that of a body that is the file itself.
        boundary: of a form.
        query: the query string.
        received_at: `time.perf_counter` when the last byte had come.

    Raises:
        RequestError: the request does not follow the contract.
    """
    asked = parse_qsl(query.decode("latin-1"), keep_blank_values=True) if query else []
    data = body
    if media_type == FORM:
        parts = parse_multipart(body, boundary)
        data = bytes(take_file(parts))
        fields = [part for part in parts if part.name not in _OTHER_FIELDS]
        _check_names((part.name for part in fields), _IN_FORM)
        asked += [(part.name, _text(part)) for part in fields]
    _check_names((name for name, _ in asked), _IN_QUERY)
    threshold = parse_threshold([text for name, text in asked if name == "threshold"])
    alarm_rate = parse_alarm_rate([text for name, text in asked if name == "alarm_rate"])
    if threshold is not None and alarm_rate is not None:
        raise DecidersConflict("send either an alarm_rate or a threshold; only one can decide")
    return Upload(data, threshold, alarm_rate, received_at)


def _check_names(names: Iterable[str], found: str) -> None:
    """Refuse a name that is not ours: a misspelt threshold would silently not decide.

    Raises:
        UnknownParameter: names the nearest of ours; what the client wrote is not repeated.
    """
    known = (*PARAMETERS, "file") if found == _IN_FORM else PARAMETERS
    for name in names:
        if name not in known:
            near = get_close_matches(name[:_MAX_NAME_LENGTH].lower(), known, n=1)
            hint = f"did you mean {near[0]!r}? It" if near else "it"
            listed = f"{', '.join(known[:-1])} and {known[-1]}"
            raise UnknownParameter(f"{found} that /predict does not take; {hint} takes {listed}")


def _text(part: Part) -> str:
    """The value of a field that holds text."""
    # One more than is accepted: a longer text stays too long, and none is decoded whole.
    return bytes(part.content[: _MAX_NUMBER_LENGTH + 1]).decode("utf-8", "replace")


def take_file(parts: list[Part]) -> memoryview:
    """Find the one part that is the file.

    Raises:
        RequestError: it is missing, repeated or text, or a file came in another field.
    """
    named = [part for part in parts if part.name == "file"]
    if not named:
        # A misspelt name first: it may be that of the file.
        _check_names((part.name for part in parts if part.name not in _OTHER_FIELDS), _IN_FORM)
        raise MissingFile("send the DICOM file in the form field 'file'")
    if len(named) > 1:
        raise RepeatedFile(f"send one file a request; the field 'file' came {len(named)} times")
    if any(part.is_file and part.name != "file" for part in parts):
        raise UnexpectedFile("only the field 'file' may hold a file; send one file a request")
    if not named[0].is_file:
        raise NotAnUpload(
            "the field 'file' holds text; upload the bytes of the file (curl: -F file=@slice.dcm)."
            " Paths and URLs are not opened"
        )
    return named[0].content


def parse_threshold(texts: list[str]) -> float | None:
    """Read the threshold, however often and wherever it came.

    Args:
        texts: each value; null, which BentoML's client sends for None, counts as absent.

    Raises:
        BadThreshold: not a finite number of 0 or more, or two that differ.
    """
    wanted = "a finite decimal number of 0 or more, such as 0.02"
    return _one_number(texts, "threshold", BadThreshold, wanted)


def parse_alarm_rate(texts: list[str]) -> float | None:
    """Read the alarm rate, however often and wherever it came.

    Args:
        texts: each value; null counts as absent.

    Raises:
        BadAlarmRate: not a number above 0 and below 1, or two that differ.
    """
    wanted = "a decimal number above 0 and below 1, such as 0.05"
    rate = _one_number(texts, "alarm_rate", BadAlarmRate, wanted)
    if rate is not None and not 0 < rate < 1:
        raise BadAlarmRate(f"alarm_rate must be {wanted}")
    return rate


def _one_number(
    texts: list[str], name: str, error: type[RequestError], wanted: str
) -> float | None:
    """Read one number of 0 or more; float() alone takes '1_0', 'nan' and other scripts' digits."""
    values = set()
    for text in texts:
        if len(text) > _MAX_NUMBER_LENGTH:
            raise error(f"{name} may have {_MAX_NUMBER_LENGTH} characters; shorten it")
        text = text.strip()
        if text == "null":
            continue
        value = float(text) if _DECIMAL.fullmatch(text) else math.nan
        if not (math.isfinite(value) and value >= 0):
            raise error(f"{name} must be {wanted}")
        values.add(value + 0.0)  # no negative zero in an answer
    if len(values) > 1:
        raise error(f"{name} came twice with different values; send it once")
    return values.pop() if values else None
