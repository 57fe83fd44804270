"""`--metrics-listen`: served by the supervisor, to this host, without slowing anything."""

from __future__ import annotations

import re
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from queuectl_engine import BadInput, Engine, PoolRefused
from queuectl_engine.job import PoolInfo
from queuectl_engine.pool.options import PoolOptions, listen_address
from tests.pool.conftest import StartPool
from tests.waiting import until


def address_of(pool: PoolInfo) -> str:
    """Where a pool said that it serves."""
    log = Path(pool.log)
    (address,) = until(lambda: re.findall(r"listen=(\S+)", log.read_text(encoding="utf-8")))
    return str(address)


def get(address: str, path: str = "/metrics") -> tuple[int, str, str]:
    """Status, content type and body."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=20) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def test_a_pool_serves_what_it_does(engine: Engine, start_pool: StartPool) -> None:
    pool = start_pool(workers=2, metrics_listen="127.0.0.1:0")
    engine.wait(engine.add("true").id)

    status, kind, page = get(address_of(pool))
    assert (status, kind.split(";")[0]) == (200, "application/openmetrics-text")
    assert 'queuectl_jobs{queue="default",state="completed"} 1.0' in page
    assert f'queuectl_pool_workers{{host="{pool.host}",pool="default"}} 2.0' in page
    assert page.endswith("# EOF\n")
    assert get(address_of(pool), "/")[0] == 404


def test_a_reader_that_says_nothing_holds_up_no_job_and_no_stop(
    engine: Engine, start_pool: StartPool
) -> None:
    pool = start_pool(metrics_listen="127.0.0.1:0")
    host, _, port = address_of(pool).rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20):
        (job,) = engine.wait(engine.add("true").id, timeout=20)
        assert job.state.value == "completed"
        assert engine.stop_pool(timeout=30).alive is not None
        until(lambda: not engine.pools())


def test_a_pool_that_stops_leaves_its_address_to_the_next(
    engine: Engine, start_pool: StartPool
) -> None:
    old = start_pool(metrics_listen="127.0.0.1:0")
    address = address_of(old)
    job = engine.add("sleep 60")
    until(lambda: engine.get(job.id).runs)
    engine.stop_pool(timeout=0)
    until(lambda: engine.find_pool().stopping)
    until(lambda: is_free(address))
    new = start_pool(metrics_listen=address)
    assert new.id != old.id
    assert get(address)[0] == 200


def is_free(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, int(port)))
        except OSError:
            return False
        return True


def test_an_address_that_is_taken_refuses_the_pool_and_leaves_nothing(
    engine: Engine, start_pool: StartPool
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PoolRefused, match=f"cannot serve metrics at 127.0.0.1:{port}"):
            start_pool(metrics_listen=f"127.0.0.1:{port}")
    assert engine.pools() == []
    start_pool(metrics_listen=f"127.0.0.1:{port}")


@pytest.mark.parametrize(
    "text", ["0.0.0.0:9188", "[::]:9188", "192.168.1.4:9188", "127.0.0.1", "x:1", "127.0.0.1:65536"]
)
def test_what_others_could_reach_needs_a_word(text: str) -> None:
    with pytest.raises(BadInput):
        PoolOptions("queue.db", metrics_listen=text)


def test_addresses_are_read_as_people_write_them() -> None:
    assert listen_address("localhost:9188", public=False) == ("127.0.0.1", 9188)
    assert listen_address("[::1]:80", public=False) == ("::1", 80)
    assert listen_address("0.0.0.0:9188", public=True) == ("0.0.0.0", 9188)
    with pytest.raises(BadInput, match="goes with"):
        PoolOptions("queue.db", metrics_public=True)
