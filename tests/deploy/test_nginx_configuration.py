"""deploy/nginx agrees with the settings and the errors of the service; no nginx is needed."""

import re

from serving.errors import RequestError
from serving.http.connection import MAX_HEAD_BYTES, MAX_TARGET_BYTES
from serving.problems import RETRY_AFTER_S, framework_problem
from serving.settings import Settings
from tests.root import ROOT

FOLDER = ROOT / "deploy" / "nginx"
CONFIGURATION = (FOLDER / "nginx.conf").read_text("utf-8")
PROBLEMS = (FOLDER / "problems.conf").read_text("utf-8")


def numbers(directive: str) -> list[int]:
    """The numbers in each use of a directive."""
    uses = re.findall(rf"^\s*{directive} ([^;]+);", CONFIGURATION, re.MULTILINE)
    return [int(number) for use in uses for number in re.findall(r"\d+", use)]


def test_sizes_and_times_are_those_of_the_service() -> None:
    settings = Settings()
    assert numbers("client_max_body_size") == [settings.max_upload_bytes]
    assert numbers("client_header_timeout") == [settings.head_timeout_s]
    assert numbers("client_body_timeout") == [settings.body_timeout_s]
    count, kilobytes = numbers("large_client_header_buffers")
    assert kilobytes * 1024 == MAX_TARGET_BYTES
    assert count * kilobytes * 1024 == MAX_HEAD_BYTES


def test_it_waits_longer_than_the_service_takes_and_keeps_connections_shorter() -> None:
    settings = Settings()
    assert numbers("proxy_read_timeout")[0] > settings.body_timeout_s + settings.deadline_s
    # The upstream's stands first.
    assert numbers("keepalive_timeout")[0] < settings.drain_s


def words(name: str) -> dict[str, str]:
    """One map of problems.conf: status -> word."""
    (body,) = re.findall(
        rf"^map \$status \${name} {{\n(.*?)^}}", PROBLEMS, re.MULTILINE | re.DOTALL
    )
    return dict(re.findall(r'^    (\w+) "?(.*?)"?;$', body, re.MULTILINE))


def test_what_nginx_refuses_has_the_codes_titles_and_times_of_the_service() -> None:
    kinds = {kind.code: kind for kind in RequestError.__subclasses__()}
    codes, titles, details = (words(name) for name in ("code", "title", "detail"))
    assert codes.keys() == titles.keys() == details.keys()
    bad = framework_problem(400)
    assert (codes.pop("default"), titles.pop("default")) == (bad.code, bad.title)
    assert {status: str(kinds[code].status) for status, code in codes.items()} == {
        status: status for status in codes
    }
    assert titles == {status: kinds[code].title for status, code in codes.items()}
    assert words("retry_after") == {str(k): str(v) for k, v in RETRY_AFTER_S.items()} | {
        "default": ""
    }


def test_each_status_that_nginx_answers_with_has_its_words() -> None:
    answered = set()
    for pages in re.findall(r"error_page ([\d ]+)(?:=(\d+) )?/problem;", CONFIGURATION):
        answered |= {pages[1]} if pages[1] else set(pages[0].split())
    assert answered == words("code").keys() - {"default"} | {"400"}
