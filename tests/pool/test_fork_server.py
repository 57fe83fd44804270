"""What workers are forked from. Real processes; what they run is any function that can be named."""

from __future__ import annotations

import errno
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from queuectl_engine.pool.fork_server import ForkServer
from queuectl_engine.pool.fork_server_process import NUMBER
from tests.pool.conftest import parent_of, runs
from tests.waiting import until


@pytest.fixture
def server() -> Iterator[ForkServer]:
    server = ForkServer()
    yield server
    server.close()


def test_a_function_is_called_in_a_child_of_the_server_that_is_reaped(
    server: ForkServer, tmp_path: Path
) -> None:
    go_on = tmp_path / "go-on"
    waits = f"until test -e {go_on}; do sleep 0.01; done"
    pid = server.fork(subprocess.call, ["sh", "-c", waits])

    assert parent_of(pid) == server.pid
    go_on.touch()
    until(lambda: not Path(f"/proc/{pid}").exists())


def test_it_has_the_signals_and_files_of_a_program_of_its_own(
    server: ForkServer, tmp_path: Path
) -> None:
    status, files = tmp_path / "status", tmp_path / "files"
    look = (
        f"x=$(readlink /proc/$$/fd/0 /proc/$$/fd/1); echo $x > {files}.new; mv {files}.new {files}"
    )

    copies = server.fork(os.execv, "/bin/cp", ["cp", "/proc/self/status", str(status)])
    server.fork(os.execv, "/bin/sh", ["sh", "-c", look])

    until(lambda: not runs(copies))
    ignored = int(status.read_text().partition("SigIgn:")[2].split()[0], 16)
    assert not ignored & 1 << (signal.SIGCHLD - 1)
    until(files.exists)
    assert files.read_text() == f"{os.devnull} {os.readlink('/proc/self/fd/2')}\n"


def test_a_mistake_ends_what_was_forked_and_nothing_else(tmp_path: Path) -> None:
    script = (
        "import os, sys\n"
        "from queuectl_engine.pool.fork_server import ForkServer\n"
        "server = ForkServer()\n"
        "server.fork(os.mkdir, sys.argv[1])\n"
        "server.fork(os.mkdir, sys.argv[2])\n"
        "while not os.path.exists(sys.argv[2]): pass\n"
        "server.close()"
    )
    there, new = tmp_path, tmp_path / "new"

    done = subprocess.run(
        [sys.executable, "-c", script, str(there), str(new)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stderr.splitlines()[-1].startswith("FileExistsError")


def test_it_ends_with_whoever_started_it_and_what_it_forked_lives_on() -> None:
    script = (
        "import os, signal, time\n"
        "from queuectl_engine.pool.fork_server import ForkServer\n"
        "server = ForkServer()\n"
        "print(server.pid, server.fork(time.sleep, 475), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    owner = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert owner.stdout
    server, forked = map(int, owner.stdout.readline().split())
    owner.stdout.close()
    owner.wait()
    try:
        until(lambda: not runs(server))
        assert runs(forked)
    finally:
        os.kill(forked, signal.SIGKILL)


def test_one_that_was_killed_is_replaced(server: ForkServer, tmp_path: Path) -> None:
    killed, made = server.pid, tmp_path / "made"
    os.kill(killed, signal.SIGKILL)
    until(lambda: not runs(killed))

    server.fork(os.mkdir, str(made))

    until(made.exists)
    assert server.pid != killed


def test_where_no_process_is_to_be_had_it_says_so_and_goes_on() -> None:
    script = (  # root has no such limit
        "import os, resource\n"
        "from queuectl_engine.pool.fork_server_process import serve\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        "resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))\n"
        "serve()"
    )
    function = pickle.dumps((os.getpid, ()))
    request = len(function).to_bytes(NUMBER, "little") + function

    done = subprocess.run(
        [sys.executable, "-c", script], input=request * 2, capture_output=True, check=True
    )

    told = [done.stdout[at : at + NUMBER] for at in (0, NUMBER)]
    assert [int.from_bytes(one, "little", signed=True) for one in told] == [-errno.EAGAIN] * 2
