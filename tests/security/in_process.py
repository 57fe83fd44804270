"""The program without a process of its own: hundreds of calls in a second."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from unittest import mock

from queuectl_engine.cli.root import run
from tests.cli.program import Result


def call(*args: str, stdin: bytes = b"") -> Result:
    """One call in this process, its streams pipes; what it printed as the bytes say."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", newline="") for _ in range(2))
    with (
        redirect_stdout(out),
        redirect_stderr(err),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), "utf-8")),
    ):
        code = run(args)
        out.flush()
        err.flush()
    assert isinstance(out.buffer, io.BytesIO)
    assert isinstance(err.buffer, io.BytesIO)
    return Result(int(code), out.buffer.getvalue().decode(), err.buffer.getvalue().decode())


def one_clear_line(result: Result) -> bool:
    """Whether it is an error as it should be: one harmless line that is no surprise to us."""
    line = result.err
    return (
        line.startswith("error: ")
        and line.endswith("\n")
        and line[:-1].isprintable()
        and "please report it" not in line
        and len(line) < 1000
    )
