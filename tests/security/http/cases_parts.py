"""List forms whose parts have hostile headers, names, file names or values (RFC 7578)."""

from __future__ import annotations

from tests.security.http.cases import DICOM, Case, form, form_body, part, text_part

BROKEN = "400 multipart_broken"
EITHER = f"200 | {BROKEN}"
MISSING = "400 file_missing"
UNKNOWN = "400 parameter_unknown"
# A file in a field that is not ours, alone or besides ours.
OTHER_FIELD = f"{UNKNOWN} | 400 file_unexpected"
NOT_UPLOADED = "400 file_not_uploaded"
FILE = 'form-data; name="file"; filename="a"'
LONG = b"x" * 7000


def headed(*fields: bytes) -> bytes:
    """Post a file with further header lines of its part."""
    return form(part(DICOM, FILE, *fields))


def disposed(disposition: str | bytes) -> bytes:
    """Post a file under a Content-Disposition."""
    return form(part(DICOM, disposition))


def named(file_name: bytes) -> bytes:
    """Post a file with a name as it is given."""
    return disposed(b'form-data; name="file"; ' + file_name)


def with_file(*others: bytes) -> bytes:
    """Post a file with other fields."""
    return form(part(), *others)


HEADERS = [
    Case("a part without a header", form(b"\r\n" + DICOM), BROKEN),
    Case("a part without an empty line", form(b"Content-Disposition: form-data"), BROKEN),
    Case("an empty part", form(b""), BROKEN),
    Case("a part's header of 9 kB", headed(b"X: " + b"x" * 9000), BROKEN),
    Case("a part's header of 1 MB", headed(b"X: " + b"x" * 1_000_000), BROKEN),
    Case("a part's header of 2000 lines", headed(*[b"X: y"] * 2000), BROKEN),
    Case("1000 parts", with_file(*[text_part("a", "b")] * 1000), BROKEN),
    Case("100,000 empty parts", form(*[b""] * 100_000), BROKEN),
    Case("a folded header line", disposed(FILE.replace("; n", ";\r\n n")), EITHER),
    Case("a header line without a colon", form(b"nonsense\r\n" + part()), EITHER),
    Case("NUL in a part's header", headed(b"X: \0\0"), EITHER),
    Case(
        "two Content-Dispositions that differ",
        headed(b'Content-Disposition: form-data; name="threshold"'),
        EITHER,
    ),
    Case("header names in capitals", form(part().replace(b"Disposition", b"DISPOSITION")), "200"),
    Case("parameters in capitals", disposed('FORM-DATA; NAME="file"; FILENAME="a"'), "200"),
    Case("a part that declares base64", headed(b"Content-Transfer-Encoding: base64"), EITHER),
    Case("a part that declares a script", headed(b"Content-Type: application/x-sh"), "200"),
    Case("a part with a type of 7 kB", headed(b"Content-Type: " + LONG), "200"),
]

NAMES = [
    Case("another disposition", disposed('attachment; name="file"; filename="a"'), BROKEN),
    Case("no name", disposed('form-data; filename="a"'), f"{BROKEN} | {MISSING}"),
    Case("an empty name", disposed('form-data; name=""; filename="a"'), OTHER_FIELD),
    Case("a name in other letters", disposed(FILE.replace("file", "FILE", 1)), OTHER_FIELD),
    Case("a name with blanks", disposed(FILE.replace("file", " file ", 1)), OTHER_FIELD),
    Case("a name with NUL", disposed(FILE.replace("file", "file\0", 1)), OTHER_FIELD),
    Case(
        "a name that is not UTF-8", disposed(b'form-data; name="\xff"; filename="a"'), OTHER_FIELD
    ),
    Case("a name of 7000 characters", disposed(b'form-data; name="' + LONG + b'"'), UNKNOWN),
    Case(
        "a name in RFC 2231's way",
        disposed("form-data; name*=utf-8''file; filename=a"),
        f"{BROKEN} | {MISSING}",
    ),
    Case("a name without quotes", disposed("form-data; name=file; filename=slice.dcm"), "200"),
    Case("two names", disposed(FILE + '; name="threshold"'), f"{EITHER} | {MISSING}"),
    Case("a charset after the name", disposed(FILE + "; charset=utf-8"), "200"),
    Case("many semicolons and quotes", named(b'filename="' + b'";"' * 2500 + b'"'), EITHER),
]

FILE_NAMES = [
    Case("an empty file name", named(b'filename=""'), f"200 | {NOT_UPLOADED}"),
    Case(
        "no file was chosen",
        form(part(b"", 'form-data; name="file"; filename=""')),
        f"400 empty_file | {MISSING} | {NOT_UPLOADED}",
    ),
    Case("a file name of 300 characters", named(b'filename="' + LONG[:300] + b'"'), "200"),
    Case("a file name of 8000 characters", named(b'filename="' + b"x" * 8000 + b'"'), "200"),
    Case("a file name that climbs", named(b'filename="../../../tmp/Zqmarker.dcm"'), "200"),
    Case("a file name from the root", named(b'filename="/tmp/Zqmarker.dcm"'), "200"),
    Case("a file name of Windows", named(b'filename="C:\\Zqmarker\\..\\CON"'), "200"),
    Case("NUL in a file name", named(b'filename="a\0Zqmarker"'), EITHER),
    Case("quotes in a file name", named(b'filename="a\\"; name=\\"threshold"'), "200"),
    Case("a quote that does not end", named(b'filename="a'), EITHER),
    Case("a line end in a file name", named(b'filename="a\r\nX-Evil: Zqmarker"'), EITHER),
    Case("a file name in UTF-8", named('filename="Wirbelsäule-Zqmarker"'.encode()), "200"),
    Case("a file name in no encoding", named(b'filename="\xff\xfe\x80"'), "200"),
    Case("a file name in RFC 5987's way", named(b"filename*=UTF-8''Zqmarker%00%2e%2e"), "200"),
    Case(
        "a file name in pieces", named(b'filename*0="a"; filename*1="b"'), f"200 | {NOT_UPLOADED}"
    ),
    Case("a file name as a format", named(b'filename="%s%n{0.__class__}${jndi:ldap://x}"'), "200"),
    Case("a file name with blanks and no quotes", named(b"filename=a b c.dcm"), "200"),
    Case("ten file names", named(b'filename="a"; ' * 10), "200"),
]

FIELDS = [
    Case("two files in one field", with_file(part()), "400 file_repeated"),
    Case("a file and a text in one field", with_file(text_part("file", "x")), "400 file_repeated"),
    Case(
        "a file in another field as well",
        with_file(part(DICOM, 'form-data; name="mask"; filename="b"')),
        "400 file_unexpected",
    ),
    Case("a file in another field", disposed('form-data; name="a"; filename="b"'), OTHER_FIELD),
    Case(
        "the threshold as a file",
        with_file(part(b"0.1", 'form-data; name="threshold"; filename="b"')),
        "400 file_unexpected | 400 threshold_invalid",
    ),
    Case("a list of files", disposed('form-data; name="file[]"; filename="b"'), OTHER_FIELD),
    Case("no field but the threshold", form(text_part("threshold", "0.1")), MISSING),
    Case("an unknown field", with_file(text_part("Zqmarker", "Zqmarker")), UNKNOWN),
    Case("a charset field", with_file(text_part("_charset_", "utf-7")), "200"),
    Case("the file as text", form(text_part("file", DICOM)), NOT_UPLOADED),
    Case(
        "the file as text with DICOM's type",
        form(part(DICOM, 'form-data; name="file"', b"Content-Type: application/dicom")),
        NOT_UPLOADED,
    ),
    Case("an empty file", form(part(b"")), "400 empty_file"),
    Case("an empty text", form(text_part("file", "")), f"{NOT_UPLOADED} | 400 empty_file"),
    Case("a form inside the file", form(part(form_body(part(), boundary=b"in"))), "415 not_dicom"),
    Case("a file of one byte", form(part(b"\0")), "415 not_dicom"),
]

PARTS = [*HEADERS, *NAMES, *FILE_NAMES, *FIELDS]
