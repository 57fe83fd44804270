"""Hosts for tests: network and process namespaces, each with a cable of its own to the server.

Real kernels' networking, real pools; only the machine is shared. Needs root and `ip`, `unshare`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from queuectl_engine.pool.processes import stat_of
from tests.postgres import Server
from tests.waiting import until

_NETWORK: Final = "10.213.{}.{}"


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@cache
def _can_make_hosts() -> bool:
    if os.getuid() != 0 or not (shutil.which("ip") and shutil.which("unshare")):
        return False
    name = f"qtry{os.getpid()}"
    try:
        _run("ip", "netns", "add", name)
    except subprocess.CalledProcessError:
        return False
    try:
        _run("ip", "link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b")
        _run("ip", "link", "del", f"{name}a")
    except subprocess.CalledProcessError:
        return False
    finally:
        _run("ip", "netns", "del", name)
    return True


needs_hosts = pytest.mark.skipif(
    not _can_make_hosts(), reason="namespaces for hosts need root, iproute2 and util-linux"
)


@dataclass
class Host:
    """A network and process namespace; `cut` takes its cable out."""

    name: str
    number: int
    home: Path
    pools: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def server(self) -> str:
        """The server's address as seen from here."""
        return _NETWORK.format(self.number, 1)

    @property
    def _cable(self) -> str:
        return f"q{self.name}"[-15:]

    def plug_in(self) -> None:
        """Make the namespace and its cable."""
        inner = f"{self._cable}i"
        _run("ip", "netns", "add", self.name)
        _run("ip", "link", "add", self._cable, "type", "veth", "peer", "name", inner)
        _run("ip", "link", "set", inner, "netns", self.name)
        _run("ip", "addr", "add", f"{self.server}/30", "dev", self._cable)
        _run("ip", "link", "set", self._cable, "up")
        inside = ("ip", "netns", "exec", self.name, "ip")
        _run(*inside, "addr", "add", f"{_NETWORK.format(self.number, 2)}/30", "dev", inner)
        _run(*inside, "link", "set", inner, "up")
        _run(*inside, "link", "set", "lo", "up")
        self.home.mkdir()

    def cut(self) -> None:
        """From now on no packet goes either way; nobody is told."""
        _run("ip", "link", "set", self._cable, "down")

    def heal(self) -> None:
        """The cable is back."""
        _run("ip", "link", "set", self._cable, "up")

    def start_pool(self, url: str, *options: str) -> subprocess.Popen[bytes]:
        """A pool as the first process of a machine of its own."""
        pool = [sys.executable, "-m", "queuectl_engine", "--db", url, "worker", *options]
        line = 'hostname "$0" && exec "$@" 2>>"$HOME/log"'
        unshare = ("unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.name, *unshare, "sh", "-c", line, self.name, *pool],
            env={**os.environ, "HOME": str(self.home), "XDG_STATE_HOME": str(self.home)},
            stdin=subprocess.DEVNULL,
            cwd="/",
        )
        self.pools.append(process)
        return process

    def log(self) -> str:
        """What its pools have logged."""
        path = self.home / "log"
        return path.read_text() if path.exists() else ""

    def crash(self) -> None:
        """The power of this machine fails."""
        pids = subprocess.run(
            ["ip", "netns", "pids", self.name], capture_output=True, text=True
        ).stdout.split()
        for pid in map(int, pids):
            if stat_of(pid):
                os.kill(pid, signal.SIGKILL)
        for pool in self.pools:
            pool.wait(20)
        self.pools = []

    def remove(self) -> None:
        """Take all of it away."""
        self.crash()
        _run("ip", "netns", "del", self.name)
        subprocess.run(["ip", "link", "del", self._cable], capture_output=True)


class Lab:
    """A server and the hosts around it."""

    def __init__(self, directory: Path, hosts: int, **settings: str) -> None:
        """Plug in the hosts, then start the server, reachable from them and by its socket."""
        self.hosts: list[Host] = []
        for n in range(hosts):
            host = Host(f"h{n}-{os.getpid()}", _free_number(), directory / f"h{n}")
            host.plug_in()
            self.hosts.append(host)
        addresses = ",".join(host.server for host in self.hosts)
        self.server = Server(listen_addresses=addresses, **settings)
        with (self.server.data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all 10.213.0.0/16 trust\n")
        self.server.start()

    def url(self, host: Host, database: str) -> str:
        """How a host connects."""
        return f"postgresql://postgres@{host.server}:{self.server.port}/{database}?sslmode=disable"

    def remove(self) -> None:
        """End everything."""
        for host in self.hosts:
            host.remove()
        self.server.remove()


def _free_number() -> int:
    used = subprocess.run(["ip", "-o", "addr"], capture_output=True, text=True, check=True).stdout
    return next(n for n in range(1, 250) if _NETWORK.format(n, 1) not in used)


def until_logged(host: Host, words: str, timeout: float = 40.0) -> None:
    """Until a pool of the host has logged this."""
    try:
        until(lambda: words in host.log(), timeout)
    except AssertionError as error:
        raise AssertionError(
            f"{words!r} is not in the log of {host.name}:\n{host.log()}"
        ) from error
