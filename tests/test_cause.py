"""Failures that are alike have one signature, and others do not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl_engine.cause import Signature, mask, program_of, signature_of
from queuectl_engine.lifecycle import (
    CancelObeyed,
    Ending,
    Exited,
    ForcedStop,
    NotStarted,
    Signalled,
    TimedOut,
    WorkerDied,
)
from tests.samples import SECOND


@pytest.mark.parametrize(
    ("line", "masked"),
    [
        ("(22) returned error: 503", "(N) returned error: N"),
        ("SMTPRecipientsRefused: 3 recipients", "SMTPRecipientsRefused: N recipients"),
        ("no such file '/srv/a b.txt' at 12:03:04", "no such file '\u2026' at TIME"),
        ("/tmp/x1/y.txt: denied", "PATH: denied"),
        ("./run.sh and ~/me and ../up", "PATH and PATH and PATH"),
        ("GET https://host/a?id=9 failed", "GET URL failed"),
        ("2026-01-31T09:00:01.5Z broke", "TIME broke"),
        ("job 3f2504e0-4f89-11d3-9a0c-0305e82c3301 gone", "job ID gone"),
        ("commit deadbee1 at 0x7ffe", "commit ID at ID"),
        ("took 1.5 s, 2,000 rows", "took N s, N rows"),
        ("either/or is no path", "either/or is no path"),
    ],
)
def test_what_differs_from_run_to_run_is_masked(line: str, masked: str) -> None:
    assert mask(line) == masked


@given(st.text(max_size=500))
def test_a_masked_line_has_no_digit_and_a_bound(line: str) -> None:
    masked = mask(line)
    assert len(masked) <= 200
    assert not any(c in "0123456789" for c in masked)


@pytest.mark.parametrize(
    ("command", "argv", "program"),
    [
        ("curl -fsS https://x", None, "curl"),
        ("/usr/bin/python3 manage.py", None, "python3"),
        ("LANG=C sudo nice env A=1 rsync -a x y", None, "rsync"),
        ("for i in 1 2; do echo $i; done", None, "sh"),
        ("(cd /x && make)", None, "sh"),
        ("$EDITOR file", None, "sh"),
        ("make; echo done", None, "make"),
        ("echo 'open quote", None, "echo"),
        ("   ", None, "sh"),
        ("x y", ("/opt/x y/run", "a"), "run"),
    ],
)
def test_the_program_is_told_from_the_words(
    command: str, argv: tuple[str, ...] | None, program: str
) -> None:
    assert program_of(command, argv) == program


@pytest.mark.parametrize(
    ("ending", "ended"),
    [
        (Exited(22), "exit 22"),
        (Signalled(9), "killed 9"),
        (TimedOut(SECOND), "timed out"),
        (WorkerDied(supervised=True), "lost"),
    ],
)
def test_a_failure_has_a_signature(ending: Ending, ended: str) -> None:
    signature = signature_of("curl x", None, ending, b"curl: (22) error: 503\r")
    assert signature == Signature("curl", ended, "(N) error: N")


@pytest.mark.parametrize("ending", [Exited(0), CancelObeyed(), ForcedStop(), NotStarted("full")])
def test_what_did_not_fail_has_none(ending: Ending) -> None:
    assert signature_of("curl x", None, ending, b"error") is None


def test_hostile_output_is_harmless_in_a_signature() -> None:
    signature = signature_of("x", None, Exited(1), b"\x1b]52;c;evil\x07 \x1b[2J\xff oops")
    assert signature
    assert signature.line.isprintable()
    assert "oops" in signature.line
