"""What a control group counts is read the same from both versions."""

from __future__ import annotations

import pytest

from tests.image.control_group import Memory, parse

VERSION_1 = """\
memory.usage_in_bytes 1000
memory.max_usage_in_bytes 1500
cache 600
inactive_file 250
total_cache 600
total_inactive_file 300
oom_kill_disable 0
under_oom 0
oom_kill 2
"""
VERSION_2 = """\
memory.current 1000
memory.peak 1500
anon 400
inactive_file 300
low 0
oom 5
oom_kill 2
"""


@pytest.mark.parametrize("text", [VERSION_1, VERSION_2], ids=["version 1", "version 2"])
def test_page_cache_that_nothing_holds_is_not_used_memory(text: str) -> None:
    assert parse(text) == Memory(used=700, peak=1500, n_killed=2)


def test_a_kernel_that_counts_no_peak_has_none() -> None:
    assert parse(VERSION_2.replace("memory.peak 1500\n", "")).peak == 0


def test_without_a_readable_control_group_it_fails() -> None:
    with pytest.raises(AssertionError, match="no control group is readable"):
        parse("")
