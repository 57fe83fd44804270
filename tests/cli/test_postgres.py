"""The same commands on a server: add, run, retry, dead, requeue, tail; and secrets stay secret."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from queuectl_engine.errors import BadInput, UnsafeStorage
from queuectl_engine.repository.postgres.address import connection_parameters, shown
from queuectl_engine.settings import choose_database, load_settings
from tests.cli.program import Program
from tests.postgres import Server, cluster, drop_queues, running_server

PASSWORD = "a-Secret-4711"


@pytest.fixture
def queuectl(bare: Program) -> Iterator[Program]:
    """The program with an empty queue on a server."""
    bare.env["QUEUECTL_DB"] = cluster().queue()
    yield bare
    while names := [pool["name"] for pool in bare("pools", "--json").json()]:
        bare("stop", "--now", "--pool", names[0])
    drop_queues()


def states(queuectl: Program) -> dict[int, str]:
    return {job["id"]: job["state"] for job in queuectl("list", "--all", "--json").json()}


def test_jobs_run_fail_die_and_are_requeued(queuectl: Program) -> None:
    assert queuectl("add", "echo one; echo two >&2").out == "Job enqueued with ID: 1\n"
    queuectl("add", "--max-retries", "1", "exit 3")
    queuectl("add", "--key", "nightly", "--after-any", "1", "env | grep ^QUEUECTL_DB")
    assert states(queuectl) == dict.fromkeys((1, 2, 3), "pending")

    queuectl.shell("queuectl worker --drain -n 2 --backoff-base 1")

    assert states(queuectl) == {1: "completed", 2: "dead", 3: "completed"}
    assert queuectl("logs", "1").out.splitlines() == ["one", "two"]
    assert queuectl("logs", "nightly").out == f"QUEUECTL_DB={queuectl.env['QUEUECTL_DB']}\n"
    dead = queuectl("show", "2", "--json").json()
    assert [each["exit_code"] for each in dead["attempt_history"]] == [3, 3]
    assert queuectl("failures", "--json").json()[0]["dead"] == 1

    queuectl("requeue", "2")
    assert states(queuectl)[2] == "pending"
    kinds = [event["kind"] for event in map(json.loads, queuectl("events", "--since", "0").lines)]
    assert kinds.count("started") == 4
    assert kinds[-1] == "requeued"


def test_a_pool_in_the_background_is_scaled_followed_and_stopped(queuectl: Program) -> None:
    queuectl("worker", "--detach", "--name", "p")
    assert queuectl("pools", "--json").json()[0]["name"] == "p"
    queuectl("scale", "2")
    queuectl("add", "for i in 1 2 3; do echo $i; sleep 0.3; done")

    assert queuectl("logs", "-f", "1").out.split() == ["1", "2", "3"]

    queuectl("wait", "1")
    queuectl("add", "sleep 60")
    queuectl.shell("until queuectl list --state processing | grep -q sleep; do :; done")
    queuectl("cancel", "2")
    queuectl.shell("queuectl wait 2")
    assert states(queuectl) == {1: "completed", 2: "cancelled"}
    assert queuectl("status", "--json").json()["db"] == queuectl.env["QUEUECTL_DB"]
    queuectl("stop")
    assert queuectl("pools", "--json").json() == []


def test_initdb_makes_the_schema_once_and_doctor_finds_it(bare: Program) -> None:
    url = cluster().server.url(cluster().empty())
    refused = bare("--db", url, "list", code=1)
    assert "initdb --db" in refused.err

    assert "Initialized" in bare("initdb", "--db", url).out
    assert "exists" in bare("initdb", "--db", url).out

    found = bare.shell(f"queuectl doctor --db '{url}' --json").json()
    told = {each["check"]: each["text"] for each in found}
    assert told["server"].startswith("PostgreSQL 1")
    assert "no standby" in told["replication"]
    assert "fsync" in told["durability"]  # which tests do without
    drop_queues()


# -- secrets


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://ada:{PASSWORD}@db.example/queue",
        f"postgresql://db.example/queue?password={PASSWORD}",
        f"postgresql://ada@db.example/queue?sslmode=disable&sslpassword={PASSWORD}",
    ],
)
def test_a_password_in_a_url_is_refused_wherever_it_comes_from(bare: Program, url: str) -> None:
    for refused in (
        bare("--db", url, "list", code=2),
        bare("list", code=2, env={"QUEUECTL_DB": url}),
        bare("initdb", code=2, env={"QUEUECTL_DB": url}),
    ):
        assert "PGPASSFILE" in refused.err
        assert PASSWORD not in refused.err + refused.out
    with pytest.raises(BadInput, match="PGPASSFILE"):
        choose_database(url)


@pytest.fixture(scope="module")
def guarded() -> Iterator[tuple[Server, str]]:
    """A server that asks for a password; and the URL of a queue there."""
    with running_server(listen_addresses="127.0.0.1") as server:
        yield server, server.guard("ada", PASSWORD)


def test_a_password_comes_from_a_file_and_is_seen_nowhere(
    bare: Program, guarded: tuple[Server, str], tmp_path: Path
) -> None:
    _, url = guarded
    passfile = tmp_path / "pgpass"
    passfile.write_text(f"*:*:*:ada:{PASSWORD}\n")
    passfile.chmod(0o600)
    bare.env.update(QUEUECTL_DB=url, PGPASSFILE=str(passfile))
    bare("initdb")
    bare("add", "env; cat /proc/$PPID/cmdline")
    bare.shell("queuectl worker --drain")

    said = bare.shell("queuectl status; queuectl show 1; queuectl logs 1; queuectl export").out
    assert url in said
    assert PASSWORD not in said

    bare.env["PGPASSFILE"] = str(tmp_path / "none")
    refused = bare("list", code=1)
    assert "PGPASSFILE" in refused.err
    wrong = bare("list", code=1, env={"PGPASSWORD": "wrong-one"})
    assert "wrong-one" not in wrong.err


def test_a_password_comes_from_the_config_file_if_it_is_private(
    bare: Program, guarded: tuple[Server, str]
) -> None:
    _, url = guarded
    config = Path(bare.env["HOME"]) / ".config/queuectl/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f'[passwords]\n"{url}" = "{PASSWORD}"\n')
    config.chmod(0o600)
    bare("initdb", "--db", url)
    assert PASSWORD not in repr(load_settings(env=bare.env))

    config.chmod(0o644)
    refused = bare("--db", url, "list", code=1)
    assert "chmod 600" in refused.err
    with pytest.raises(UnsafeStorage):
        load_settings(env=bare.env)


def test_a_job_does_not_get_the_password_of_its_pool(
    bare: Program, guarded: tuple[Server, str]
) -> None:
    _, url = guarded
    bare.env.update(QUEUECTL_DB=url, PGPASSWORD=PASSWORD)
    bare("initdb")
    job = bare("add", "-q", "env").out.strip()
    bare.shell("queuectl worker --drain")

    assert PASSWORD not in bare("logs", job).out


@pytest.mark.parametrize(
    ("url", "mode"),
    [
        ("postgresql://ada@db.example/queue", "verify-full"),
        ("postgresql://ada@10.0.0.7/queue", "verify-full"),
        ("postgresql://ada@localhost,db.example/queue", "verify-full"),
        ("postgresql://ada@db.example/queue?sslmode=require", "require"),
        ("postgresql://ada@127.0.0.1/queue", None),
        ("postgresql://ada@localhost/queue", None),
        ("postgresql:///queue?host=/run/postgresql", None),
    ],
)
def test_a_remote_server_is_verified_unless_somebody_says_otherwise(
    url: str, mode: str | None
) -> None:
    assert connection_parameters(url, env={"HOME": "/nowhere"}).get("sslmode") == mode
    said = connection_parameters(url, env={"PGSSLMODE": "prefer"}).get("sslmode")
    assert said == (mode if "sslmode" in url else None)


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("postgresql://ada:x@h:5/db", "postgresql://ada@h:5/db"),
        ("postgresql:///db?host=/tmp", "postgresql:///db?host=/tmp"),
        ("postgresql://h/db?password=x&user=a", "postgresql://h/db?user=a"),
        ("postgresql://a:b:c@h/db?sslpassword=x", "postgresql://a@h/db"),
    ],
)
def test_what_is_shown_of_a_url_is_no_secret(url: str, safe: str) -> None:
    assert shown(url) == safe


# -- the driver


def test_without_the_driver_one_line_says_what_to_install(bare: Program, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "psycopg.py").write_text("raise ImportError('none here')\n")
    path = f"{tmp_path / 'none'}:{bare.env['PYTHONPATH']}"

    refused = bare("--db", "postgresql://h/db", "list", code=2, env={"PYTHONPATH": path})

    assert "pip install 'queuectl-tui[postgres]'" in refused.err
    bare("initdb", env={"PYTHONPATH": path})  # files need none
    bare("add", "true", env={"PYTHONPATH": path})


def test_another_scheme_is_refused(bare: Program) -> None:
    assert "postgresql://" in bare("--db", "mysql://h/db", "list", code=2).err


def test_a_file_never_imports_the_driver(bare: Program) -> None:
    script = (
        "import sys; from queuectl_engine import open_engine;"
        "open_engine(sys.argv[1], create=True).add('true');"
        "sys.exit('psycopg' in sys.modules)"
    )
    command = [sys.executable, "-c", script, str(bare.directory / "jobs.db")]
    assert subprocess.run(command, env=bare.env).returncode == 0
