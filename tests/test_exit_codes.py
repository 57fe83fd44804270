"""Exit codes of a rule: read, checked, written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl_engine.errors import BadInput
from queuectl_engine.exit_codes import checked_exit_codes, exit_codes_text, parse_exit_codes


@pytest.mark.parametrize(
    ("text", "codes", "again"),
    [
        ("", (), ""),
        (" ", (), ""),
        ("75", (75,), "75"),
        ("124,75", (75, 124), "75,124"),
        ("64-66, 70", (64, 65, 66, 70), "64-66,70"),
        ("2-2,1,3,2", (1, 2, 3), "1-3"),
        ("1-255", tuple(range(1, 256)), "1-255"),
    ],
)
def test_people_write_codes_and_ranges(text: str, codes: tuple[int, ...], again: str) -> None:
    assert parse_exit_codes(text) == codes
    assert exit_codes_text(codes) == again


@pytest.mark.parametrize(
    "text", ["x", "1,,2", "3-1", "-1", "1-", "0", "0-3", "256", "1-999", "1;2", "99999", "①"]
)
def test_what_is_no_exit_code_is_named(text: str) -> None:
    with pytest.raises(BadInput, match="exit code"):
        parse_exit_codes(text)


@pytest.mark.parametrize("code", [0, 256, -1, True, "75", 1.5, None])
def test_only_whole_numbers_that_can_fail_a_job_are_codes(code: object) -> None:
    with pytest.raises(BadInput):
        checked_exit_codes([code])


@given(st.sets(st.integers(1, 255)))
def test_what_is_written_reads_the_same(codes: set[int]) -> None:
    assert parse_exit_codes(exit_codes_text(sorted(codes))) == tuple(sorted(codes))
