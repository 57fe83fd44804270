"""A secret reaches the job that names it, and no file, list, log or screen of ours."""

from __future__ import annotations

import json
import os
import pty
import stat
import subprocess
import termios
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from queuectl_engine import NoSuchSecret, QueuectlError, UnsafeStorage, open_engine
from queuectl_engine.engine import Engine
from queuectl_engine.errors import BadInput
from queuectl_engine.secret import LARGEST, Secrets
from tests.cli.program import Program
from tests.pools import stop_pools
from tests.security.in_process import call
from tests.waiting import until

VALUE = "s3cret-of-nobody-else"


@pytest.fixture
def secrets(bare: Program) -> Secrets:
    """Those of the user that the program runs as."""
    return Secrets(Path(bare.env["HOME"]) / ".config" / "queuectl" / "secrets")


@pytest.fixture
def stored(secrets: Secrets) -> Secrets:
    """One is stored."""
    secrets.put("TOKEN", VALUE.encode())
    return secrets


@pytest.fixture
def pool(queuectl: Program, engine: Engine) -> Iterator[None]:
    """A pool that runs."""
    queuectl("worker", "--detach")
    yield
    stop_pools(engine)


def holding(directory: Path, value: str) -> list[str]:
    """The files below a directory in which the value stands."""
    return [
        str(path)
        for path in directory.rglob("*")
        if path.is_file() and value.encode() in path.read_bytes()
    ]


def test_a_job_gets_it_and_nothing_of_ours_holds_it(
    queuectl: Program, stored: Secrets, pool: None
) -> None:
    queuectl("add", "--secret", "TOKEN", "--wait", f'test "$TOKEN" = {VALUE[:6]}"{VALUE[6:]}"')
    shown = [
        call("--db", str(queuectl.directory / "queue.db"), *command.split())
        for command in (
            "show 1", "show 1 --json", "list --all --json", "export", "events --since 0", "logs 1",
            "status --json", "pools --json",
        )
    ]  # fmt: skip

    shown += [queuectl("secret", "list"), queuectl("backup", "copy")]

    assert [result for result in shown if result.code or VALUE in result.out] == []
    assert holding(queuectl.directory, VALUE) == []
    assert holding(Path(queuectl.env["HOME"]), VALUE) == [str(stored.directory / "TOKEN")]
    assert queuectl("show", "1", "--json").json()["secrets"] == ["TOKEN"]
    assert "secrets     TOKEN" in queuectl("show", "1").lines


@pytest.mark.parametrize("mask", ["000", "777"])
def test_it_is_stored_for_us_alone(bare: Program, secrets: Secrets, mask: str) -> None:
    done = bare.shell(f"umask {mask}; printf 'one\\n' | queuectl secret set A")

    assert done.code == 0
    assert secrets.value("A") == "one"
    assert [entry.name for entry in secrets.directory.iterdir()] == ["A"]
    assert stat.S_IMODE((secrets.directory / "A").stat().st_mode) == 0o600
    assert stat.S_IMODE(secrets.directory.stat().st_mode) == 0o700


def test_it_is_typed_unseen(bare: Program, secrets: Secrets) -> None:
    master, slave = pty.openpty()
    with subprocess.Popen(
        bare.command("secret", "set", "A"), stdin=slave, stdout=slave, stderr=slave, env=bare.env,
        cwd=bare.directory, start_new_session=True,
    ) as process:  # fmt: skip
        os.close(slave)
        shown = b""
        while b"Value of A" not in shown:
            shown += os.read(master, 4096)
        until(lambda: not termios.tcgetattr(master)[3] & termios.ECHO)
        os.write(master, f"{VALUE}\n".encode())
        with suppress(OSError):  # EIO: it has ended
            while part := os.read(master, 4096):
                shown += part
    os.close(master)

    assert process.returncode == 0, shown
    assert VALUE.encode() not in shown
    assert secrets.value("A") == VALUE


def test_it_is_no_argument_and_is_never_printed(bare: Program, stored: Secrets) -> None:
    bare("secret", "set", "A", "value", code=2)
    assert bare("secret", "list").lines == ["TOKEN"]

    bare("secret", "delete", "TOKEN")

    assert bare("secret", "--help").out.count(VALUE) == 0
    assert bare("secret", "list", "--json").json() == []
    bare("secret", "delete", "TOKEN", code=3)


def missing(secrets: Secrets) -> None:
    secrets.remove("TOKEN")


def readable(secrets: Secrets) -> None:
    (secrets.directory / "TOKEN").chmod(0o640)


def link(secrets: Secrets) -> None:
    (secrets.directory / "TOKEN").rename(secrets.directory.parent / "elsewhere")
    (secrets.directory / "TOKEN").symlink_to(secrets.directory.parent / "elsewhere")


def fifo(secrets: Secrets) -> None:
    missing(secrets)
    os.mkfifo(secrets.directory / "TOKEN", 0o600)


def of_another(secrets: Secrets) -> None:
    os.chown(secrets.directory / "TOKEN", 12345, -1)


def in_an_open_directory(secrets: Secrets) -> None:
    secrets.directory.chmod(0o777)


DAMAGES = [missing, readable, link, fifo, of_another, in_an_open_directory]


@pytest.mark.parametrize("damage", DAMAGES)
def test_one_that_is_missing_or_open_is_not_read(stored: Secrets, damage: object) -> None:
    if damage is of_another and os.getuid():
        pytest.skip("only root can give files away")
    assert callable(damage)
    damage(stored)

    with pytest.raises(QueuectlError) as refusal:
        stored.value("TOKEN")

    assert "TOKEN" in str(refusal.value) or str(stored.directory) in str(refusal.value)
    assert VALUE not in str(refusal.value)
    assert damage is not fifo or "no regular file" in str(refusal.value)


def test_a_job_without_its_secret_fails_with_the_reason_and_is_mended(
    queuectl: Program, stored: Secrets, pool: None, engine: Engine
) -> None:
    """It fails as for a missing directory: charged, with the pause of its retries, no storm."""
    readable(stored)
    queuectl("add", "--secret", "TOKEN", "--max-retries", "0", "--wait", "true", code=126)

    said = queuectl("logs", "1").out
    assert said == f"queuectl: others can read {stored.directory / 'TOKEN'}; try: chmod 600 " + (
        f"{stored.directory / 'TOKEN'}\n"
    )
    assert engine.advice(engine.get(1), engine.attempts(1)[0]) is None  # it says it all
    job = engine.add(
        "true", context=engine.context(secrets=["TOKEN"], cwd="/"), max_retries=1, key="retried"
    )
    assert engine.get(1).attempts == 1
    (stored.directory / "TOKEN").chmod(0o600)
    queuectl("requeue", "1")
    queuectl("wait", "1", "retried")
    assert engine.get(job.id).attempts in (1, 2)  # it may have met the file before it was mended


def test_a_hook_and_a_schedule_get_it_as_well(
    queuectl: Program, stored: Secrets, pool: None, engine: Engine
) -> None:
    check = f'test "$TOKEN" = {VALUE}'
    queuectl("add", "--secret", "TOKEN", "--on-completed", f"{check} && touch told", "true")
    queuectl("schedule", "add", "@yearly", "--name", "s", "--secret", "TOKEN", check)
    queuectl("schedule", "run-now", "s")
    queuectl("wait", "1", "2")
    assert engine.context_of(engine.get(2)).secrets == ("TOKEN",)
    assert queuectl("schedule", "list", "--json").json()[0]["secrets"] == ["TOKEN"]

    until((queuectl.directory / "told").exists)
    readable(stored)
    queuectl("add", "--secret", "TOKEN", "--on-dead", "touch never", "--max-retries", "0", "true")
    until(lambda: any(event.kind == "hook failed" for event in engine.events(3)))
    failed = next(event for event in engine.events(3) if event.kind == "hook failed")
    assert "others can read" in (failed.detail or "")


@pytest.mark.parametrize("name", ["", "a b", "../x", "1A", "QUEUECTL_X", "é", "A" * 101, "A\n"])
def test_a_name_is_that_of_a_variable_and_none_of_ours(
    engine: Engine, secrets: Secrets, name: str
) -> None:
    with pytest.raises(BadInput, match="secret"):
        engine.context(secrets=[name])
    for act in (secrets.value, secrets.remove, lambda name: secrets.put(name, b"x")):
        with pytest.raises(BadInput, match="secret"):
            act(name)


def test_every_way_in_checks_the_name(queuectl: Program) -> None:
    name = "QUEUECTL_DB"
    queuectl("add", "--secret", name, "true", code=2)
    queuectl("secret", "set", name, stdin="x", code=2)
    line = json.dumps({"command": "true", "secrets": [name]})
    assert "line 1" in queuectl("add", "-f", "-", "--jsonl", stdin=line, code=2).err
    assert queuectl("list", "--json").json() == []


@pytest.mark.parametrize("value", [b"", b"\n", b"a\0b", b"x" * (LARGEST + 1)])
def test_a_value_that_no_job_could_get_is_refused(queuectl: Program, value: bytes) -> None:
    queuectl("secret", "set", "A", stdin=value, code=2)
    assert queuectl("secret", "list").lines == []


def test_one_name_has_one_meaning(queuectl: Program) -> None:
    told = queuectl("add", "--env", "A=1", "--secret", "A", "true", code=2)
    assert "--env" in told.err
    many = [word for number in range(51) for word in ("--secret", f"S{number}")]
    queuectl("add", *many, "true", code=2)


def test_names_travel_with_exports_and_values_stay(
    queuectl: Program, stored: Secrets, tmp_path: Path
) -> None:
    lines = json.dumps({"command": "true", "secrets": ["TOKEN", "TOKEN"]})
    queuectl("add", "-f", "-", "--jsonl", stdin=lines)
    out = queuectl("export").out

    queuectl("initdb", "--db", str(tmp_path / "other.db"))
    shown = queuectl("import", "-", "--dry-run", "--db", str(tmp_path / "other.db"), stdin=out)
    queuectl("import", "-", "--db", str(tmp_path / "other.db"), stdin=out)

    assert VALUE not in out + shown.out
    assert "--secret TOKEN" in shown.out
    with open_engine(tmp_path / "other.db") as other:
        assert other.context_of(other.get(1)).secrets == ("TOKEN",)


def test_the_config_names_another_directory(bare: Program, tmp_path: Path) -> None:
    config = Path(bare.env["HOME"]) / ".config" / "queuectl" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f"secrets = {json.dumps(str(tmp_path / 'vault'))}\n")

    bare("secret", "set", "A", stdin="one")

    assert Secrets(tmp_path / "vault").value("A") == "one"
    config.write_text("secrets = 'vault'\n")
    assert "absolute" in bare("secret", "list", code=2).err


def test_a_person_is_told_of_one_that_is_missing(queuectl: Program) -> None:
    shown = queuectl.at_terminal("add", "--secret", "TOKEN", "true")

    assert "queuectl secret set TOKEN" in shown.out


def test_errors_have_their_kind(secrets: Secrets) -> None:
    with pytest.raises(NoSuchSecret):
        secrets.value("A")
    with pytest.raises(BadInput):
        secrets.value("../A")
    secrets.put("A", b"1")
    secrets.directory.chmod(0o777)
    with pytest.raises(UnsafeStorage):
        secrets.put("A", b"2")
