"""Pools under a service manager, and as the first process of a container."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from queuectl_engine import Engine, JobState
from queuectl_engine.pool.options import PoolOptions
from queuectl_engine.pool.systemd import logout_warning
from tests.pool.conftest import running
from tests.waiting import until

UNITS = sorted((Path(__file__).parents[2] / "docs" / "systemd").glob("*.service"))


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_unit_gives_jobs_time_and_leaves_five_seconds(unit: Path) -> None:
    text = unit.read_text()
    settings = dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
    stop, grace = re.findall(r"--stop-timeout (\d+)s --grace (\d+)s", settings["ExecStart"])[0]
    assert int(stop) + int(grace) + 5 == int(settings["TimeoutStopSec"])
    wanted = {"Type": "notify", "KillMode": "mixed", "OOMPolicy": "continue", "UMask": "0077"}
    assert wanted.items() <= settings.items()
    assert settings["Delegate"] == "yes"


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_understands_a_unit(unit: Path, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd here")
    here = tmp_path / unit.name
    here.write_text(unit.read_text().replace("/usr/local/bin/queuectl-engine", "/bin/true"))
    done = subprocess.run([analyze, "verify", here], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_manager_hears_when_the_first_worker_lives_and_when_a_stop_begins(
    engine: Engine, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        pool = subprocess.Popen(
            _command(engine),
            env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")},
            stderr=subprocess.DEVNULL,
        )
        assert manager.recv(100) == b"READY=1"
        assert engine.find_pool().running == 1
        job = engine.wait(engine.add('echo "<$NOTIFY_SOCKET>"').id)[0]
        pool.send_signal(signal.SIGTERM)
        assert manager.recv(100) == b"STOPPING=1"
        assert pool.wait(timeout=30) == 0
    assert engine.output(job.id)[0].pieces[0].data == b"<>\n"


def test_as_first_process_of_a_container_it_stops_in_time_and_reaps_orphans(
    engine: Engine,
) -> None:
    unshare = shutil.which("unshare")
    assert unshare, "install util-linux"
    command = _command(engine, stop_timeout=0.2, grace=0.2)
    container = subprocess.Popen(
        [unshare, "--pid", "--fork", "--mount-proc", "--kill-child", *command],
        stderr=subprocess.DEVNULL,
    )
    try:
        job = engine.add("trap '' TERM; sleep 481; sleep 482")
        until(lambda: running(engine, job))
        first = _children(container.pid)[0]
        os.kill(_worker(first), signal.SIGKILL)  # what it ran comes to the first process
        until(lambda: engine.get(job.id).runs == 2)
        until(lambda: b"Z" not in [_state(child) for child in _children(first)])
        os.kill(first, signal.SIGTERM)
        assert container.wait(timeout=30) == 0
    finally:
        container.kill()
        container.wait()
    assert engine.get(job.id).state is JobState.PENDING


@pytest.mark.parametrize(("answer", "warns"), [("b true", True), ("b false", False), ("", False)])
def test_a_pool_that_would_end_at_logout_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, warns: bool
) -> None:
    busctl = tmp_path / "busctl"
    busctl.write_text(f"#!/bin/sh\necho {answer}\n")
    busctl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    told = logout_warning()
    assert ("enable-linger" in (told or "")) is warns


def _command(engine: Engine, **options: float) -> list[str]:
    given = PoolOptions(engine.database.location, **options)  # type: ignore[arg-type]
    return [sys.executable, "-m", "queuectl_engine.pool", json.dumps(given.to_json())]


def _children(pid: int) -> list[int]:
    try:
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _state(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rsplit(b")", 1)[1].split()[0]
    except OSError:
        return b""


def _worker(supervisor: int) -> int:
    """The only worker: a child of the fork server, which is a child of the supervisor."""
    return next(w for child in _children(supervisor) for w in _children(child))
