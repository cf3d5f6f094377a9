import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import BrokenMultipart
from serving.http.multipart import MAX_PARTS, parse_multipart


def form(*parts: bytes, boundary: bytes = b"b") -> bytes:
    joined = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    return joined + b"--" + boundary + b"--\r\n"


def field(name: bytes, content: bytes, rest: bytes = b"") -> bytes:
    return b'Content-Disposition: form-data; name="' + name + b'"' + rest + b"\r\n\r\n" + content


def test_each_field_has_its_name_kind_and_content() -> None:
    body = form(field(b"threshold", b"0.5"), field(b"file", b"\r\n--a\r\n", b'; filename="x y"'))
    assert [
        (part.name, part.is_file, bytes(part.content)) for part in parse_multipart(body, b"b")
    ] == [
        ("threshold", False, b"0.5"),
        ("file", True, b"\r\n--a\r\n"),
    ]


@given(st.binary())
def test_any_content_without_the_boundary_comes_back_unchanged(content: bytes) -> None:
    boundary = b"0123456789abcdef"
    if boundary not in content:
        body = form(field(b"file", content, b'; filename=""'), boundary=boundary)
        (part,) = parse_multipart(body, boundary)
        assert (bytes(part.content), part.is_file) == (content, True)


@given(st.binary(), st.integers(0, 200))
def test_any_damage_gives_fields_or_the_one_error(junk: bytes, position: int) -> None:
    body = form(field(b"file", b"123", b'; filename="a"'))
    damaged = body[:position] + junk + body[position + len(junk) :]
    with contextlib.suppress(BrokenMultipart):
        parse_multipart(damaged, b"b")


@pytest.mark.parametrize(
    "header",
    [
        b"content-disposition:form-data;name=file;filename=a",
        b"CONTENT-DISPOSITION: Form-Data; Name=file; FileName=a",
        b"Content-Type: a/b\r\nContent-Disposition: form-data; name=file; filename*=UTF-8''a",
        b'Content-Disposition: form-data; name="file"; filename=""',
        b'Content-Disposition: form-data; name="file"; filename="' + b"n" * 4000 + b'"',
    ],
)
def test_headers_are_read_generously(header: bytes) -> None:
    (part,) = parse_multipart(form(header + b"\r\n\r\n1"), b"b")
    assert (part.name, part.is_file, bytes(part.content)) == ("file", True, b"1")


def test_a_preamble_and_blanks_after_a_boundary_are_skipped() -> None:
    body = b"preamble\r\n--b \t\r\n" + field(b"a", b"1") + b"\r\n--b--epilogue"
    assert [part.name for part in parse_multipart(body, b"b")] == ["a"]


def test_a_form_without_fields_is_empty() -> None:
    assert parse_multipart(b"--b--", b"b") == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--c--",
        b"--b",
        b"--b\r\n",
        b"--bc\r\n" + field(b"a", b"1") + b"\r\n--b--",
        b"--b\r\n" + field(b"a", b"1"),
        b"--b\r\n" + field(b"a", b"1") + b"\r\n--b",
        form(b"no header"),
        form(b"Content-Disposition: form-data\r\n\r\n1"),
        form(b'Content-Disposition: attachment; name="file"\r\n\r\n1'),
        form(b'Content-Disposition: form-data; name="a"\r\n' + field(b"file", b"1")),
        form(b"X: " + b"x" * 9000 + b"\r\n" + field(b"a", b"1")),
        form(*[field(b"a", b"1")] * (MAX_PARTS + 1)),
        form(*[b"X: " + b"x" * 6000 + b"\r\n" + field(b"a", b"1")] * 3),
    ],
)
def test_a_body_that_breaks_the_standard_is_refused(body: bytes) -> None:
    with pytest.raises(BrokenMultipart):
        parse_multipart(body, b"b")


@pytest.mark.parametrize("boundary", [b"", b"b" * 71])
def test_a_boundary_has_1_to_70_characters(boundary: bytes) -> None:
    with pytest.raises(BrokenMultipart):
        parse_multipart(form(boundary=boundary), boundary)
