"""The program as people run it: in a process of its own, in a pipe or at a terminal."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.waiting import until

ROOT: Final = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Result:
    """What a command answered."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Its stdout, read as JSON."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        """Its stdout by line."""
        return self.out.splitlines()


@dataclass(frozen=True)
class Running:
    """A command that has not ended yet."""

    process: subprocess.Popen[bytes]
    database: Path

    def until_open(self) -> None:
        """Wait until it has the database open, so that it is past its start."""
        until(self._has_it_open)

    def read(self, size: int = -1) -> bytes:
        """So many bytes of its stdout, or all."""
        assert self.process.stdout
        return self.process.stdout.read(size)

    def end(self) -> Result:
        """Its answer, once it has ended by itself."""
        out, err = self.process.communicate(timeout=60)
        return Result(self.process.returncode, out.decode(errors="replace"), err.decode())

    def _has_it_open(self) -> bool:
        descriptors = Path(f"/proc/{self.process.pid}/fd")
        return any(os.path.realpath(link) == str(self.database) for link in descriptors.iterdir())


class Program:
    """Runs `queuectl` in a directory, with an environment that holds no more than it needs."""

    def __init__(self, directory: Path, home: Path) -> None:
        self.directory = directory
        self.prefix: tuple[str, ...] = ()  # a program that runs it
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "PYTHONPATH": str(ROOT),
            "LANG": "C.UTF-8",
            "TERM": "xterm",
        }

    def command(self, *args: str) -> list[str]:
        """The argv of one call."""
        return [*self.prefix, sys.executable, "-m", "queuectl_engine", *args]

    def __call__(
        self,
        *args: str,
        code: int = 0,
        stdin: str | bytes = b"",
        env: dict[str, str] | None = None,
    ) -> Result:
        """Run to the end in pipes. It must exit with `code`, and an error must be one line."""
        done = subprocess.run(
            self.command(*args),
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            cwd=self.directory,
            env={**self.env, **(env or {})},
            timeout=60,
        )
        result = Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode())
        assert result.code == code, f"{args}: {result}"
        assert "Traceback" not in result.err
        if code in (0, 130):
            assert result.err == ""
        else:
            assert result.err.startswith("error: ")
            assert result.err.count("\n") == 1
            assert result.err.endswith("\n")
        return result

    @contextmanager
    def running(self, *args: str) -> Iterator[Running]:
        """A command that runs meanwhile, its stdout and stderr pipes; killed in the end."""
        with subprocess.Popen(
            self.command(*args),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.directory,
            env=self.env,
        ) as process:
            try:
                yield Running(process, self.directory / "queue.db")
            finally:
                process.kill()

    def shell(self, script: str) -> Result:
        """Run a line of bash in which `queuectl` is the program; fails of a pipe count."""
        quoted = " ".join(f"'{word}'" for word in self.command())
        done = subprocess.run(
            ["bash", "-c", f'set -o pipefail; queuectl() {{ {quoted} "$@"; }}; {script}'],
            capture_output=True,
            cwd=self.directory,
            env=self.env,
            timeout=60,
        )
        return Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode())

    def at_terminal(
        self,
        *args: str,
        typed: str = "",
        interrupt_when: str | None = None,
        env: dict[str, str] | None = None,
    ) -> Result:
        """Run at a terminal of 80 columns; stdout and stderr are one there.

        Once it has shown `interrupt_when` it gets the signal of Ctrl+C.
        """
        master, slave = pty.openpty()
        os.set_blocking(master, False)
        process = subprocess.Popen(
            self.command(*args),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=self.directory,
            env={**self.env, "COLUMNS": "80", **(env or {})},
            start_new_session=True,
        )
        os.close(slave)
        os.write(master, typed.encode())
        shown = b"".join(_until_closed(master, process, interrupt_when))
        os.close(master)
        text = shown.decode()
        assert "Traceback" not in text
        return Result(process.wait(60), text, "")


def _until_closed(
    master: int, process: subprocess.Popen[bytes], interrupt_when: str | None
) -> list[bytes]:
    """What a terminal was sent until its last user closed it."""
    parts: list[bytes] = []
    while select.select([master], [], [], 60)[0]:
        try:
            part = os.read(master, 65536)
        except OSError:  # EIO: nobody has the other end open any more
            break
        if not part:
            break
        parts.append(part)
        if interrupt_when and interrupt_when.encode() in b"".join(parts):
            process.send_signal(signal.SIGINT)
            interrupt_when = None
    return parts
