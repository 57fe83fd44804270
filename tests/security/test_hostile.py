"""Hostile values in every field and file: one clear line, nothing changed, no surprise."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queuectl_engine import BadInput, Job, JobState, QueuectlError, StorageError, open_engine
from queuectl_engine.cli.arrivals import Builder, own
from queuectl_engine.cli.bulk import LONGEST_LINE, numbered_lines
from queuectl_engine.cli.jsonl import _FIELDS, ObjectReader
from queuectl_engine.cli.rivals import pueue
from queuectl_engine.engine import Engine
from queuectl_engine.job import NewJob
from queuectl_engine.repository import create_database
from tests.pools import stop_pools
from tests.security.hostile import ARGUMENTS, BYTES, JSON_VALUES
from tests.security.in_process import call, one_clear_line
from tests.security.test_foreign import alter
from tests.waiting import until

TASK: Final = {
    "id": 0, "created_at": "2024-01-01T00:00:00Z", "command": "true", "path": "/tmp",
    "envs": {"PATH": "/bin"}, "group": "default", "dependencies": [], "priority": 0, "label": None,
    "status": {"Stashed": {"enqueue_at": "2030-01-01T00:00:00Z"}},
}  # fmt: skip


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A queue with one job, and a home of its own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    path = str(tmp_path / "queue.db")
    with open_engine(path, create=True) as engine:
        engine.add("true", key="k", labels=["x"])
    return path


def stored_and_read(engine: Engine, new: NewJob) -> Job:
    """What was accepted must be storable, readable and fit for a process."""
    job = engine.get(engine.add_many([new])[0].id)
    context = engine.context_of(job)
    words = [*(job.argv or [context.shell, job.command]), context.cwd, context.user]
    words += [*context.env, *context.env.values()]
    words += [*context.captured, *(value or "" for value in context.captured.values())]
    assert not any(b"\0" in os.fsencode(word) for word in words)
    assert not any("=" in name for name in (*context.env, *context.captured))
    return job


@pytest.mark.parametrize("field", _FIELDS)
def test_every_field_of_json_lines(database: str, field: str) -> None:
    command = "" if field in ("command", "argv") else '"command": "true", '
    with open_engine(database) as engine:
        for name, value in JSON_VALUES.items():
            try:
                new = ObjectReader(engine, {}, {}).job(f'{{{command}"{field}": {value}}}')
                stored_and_read(engine, new)
            except QueuectlError as error:
                assert error.exit_code in (2, 3), name  # 3: no such job to wait for


def exported(database: str) -> dict[str, str]:
    """A line of an export by field, each value as JSON."""
    line = call("--db", database, "export").out
    return {name: json.dumps(value) for name, value in json.loads(line).items()}


def test_every_field_of_an_export(database: str) -> None:
    fields = exported(database) | {"key": "null"}
    with open_engine(database) as engine:
        for field in fields:
            for name, value in JSON_VALUES.items():
                changed = fields | {"origin": f'"o:{field}:{name}"', field: value}
                line = "{" + ",".join(f'"{each}": {text}' for each, text in changed.items()) + "}"
                try:
                    builder = Builder(engine, over={}, cwd=None, unit="line")
                    for arrival in own([(1, line)], engine, failed=False):
                        if arrival.left_out is None:
                            stored_and_read(engine, builder.job(arrival))
                except BadInput as error:
                    assert "line 1: " in str(error), (field, name)


def test_every_field_of_pueue(database: str) -> None:
    with open_engine(database) as engine:
        for field in TASK:
            for name, value in JSON_VALUES.items():
                task = {each: json.dumps(known) for each, known in TASK.items()}
                task |= {"created_at": f'"{field}{name}"', field: value}
                line = ",".join(f'"{each}": {text}' for each, text in task.items())
                try:
                    builder = Builder(engine, over={}, cwd=None, unit="task")
                    for arrival in pueue(f'{{"tasks": {{"0": {{{line}}}}}}}', failed=False):
                        if arrival.left_out is None:
                            stored_and_read(engine, builder.job(arrival))
                except BadInput as error:
                    assert "task 1" in str(error) or "not what" in str(error), (field, name)


HEADS: Final = {
    "queuectl": b"",
    "pueue": b'{"tasks": {"0": ',
    "tsp": b"ID State Output E-Level  Time   Command [run=0/1]\n0    queued  -  ",
    "parallel": b"Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n"
    b"1\t:\t1.0\t0\t0\t0\t1\t0\t",
    "crontab": b"SHELL=/bin/sh\n* * * * * ",
}


@pytest.mark.parametrize("kind", HEADS)
def test_bytes_of_every_kind_of_file(database: str, kind: str) -> None:
    for name, data in BYTES.items():
        for head in (b"", HEADS[kind]):
            told = call(
                "--db", database, "import", "-", "--failed", "--from", kind, stdin=head + data
            )
            assert told.code == 0 or (told.code == 2 and one_clear_line(told)), (name, told)


@pytest.mark.parametrize("options", [(), ("--jsonl",)])
def test_bytes_of_lines(database: str, options: tuple[str, ...]) -> None:
    for name, data in BYTES.items():
        told = call("--db", database, "add", "-f", "-", *options, stdin=b"\n\n" + data)
        assert told.code == 0 or (told.code == 2 and one_clear_line(told)), (name, told)
        assert told.code == 0 or "line 3" in told.err


def test_a_bad_line_is_named_and_nothing_of_it_is_stored(database: str) -> None:
    good = b'{"command": "true"}\n'
    told = call("--db", database, "add", "-f", "-", "--jsonl", stdin=good * 2 + b'{"priority": 1}')

    assert told.code == 2
    assert "line 3: " in told.err
    assert "lines 1 to 2 were added" in told.err
    with open_engine(database) as engine:
        assert [job.id for job in engine.jobs()] == [1, 2, 3]


@pytest.mark.parametrize("line", ['{"command": "a", "command": "b"}', '\ufeff{"command": "a"}'])
def test_what_could_mean_two_things_is_refused(database: str, line: str) -> None:
    """A name that stands twice; a byte order mark in front."""
    told = call("--db", database, "add", "-f", "-", "--jsonl", stdin=line.encode())

    assert told.code == 2
    assert "line 1: not JSON" in told.err


def test_a_line_that_never_ends_is_not_read_to_its_end() -> None:
    """Memory is bounded by the longest line that is allowed."""

    class Endless(io.BytesIO):
        taken = 0

        def readline(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            assert 0 < size <= LONGEST_LINE + 1
            Endless.taken += size
            return b"x" * size

    with pytest.raises(BadInput, match="line 1: it is longer than 1048576 bytes"):
        list(numbered_lines(Endless()))
    assert Endless.taken == LONGEST_LINE + 1


WAYS: Final = [
    *[("show",), ("logs",), ("explain",), ("cancel",), ("delete",), ("requeue",), ("export",)],
    *[("list", option) for option in ("--state", "--filter", "--queue", "--label", "--limit")],
    *[("list", "--cause"), ("logs", "k", "--attempt"), ("requeue", "--cause"), ("pause",)],
    *[("requeue", "k", "--at"), ("requeue", "--filter"), ("limit", "q", "--max-running")],
    *[("edit", "k", option) for option in ("--command", "--queue", "--priority", "--key")],
    *[("edit", "k", option) for option in ("--run-at", "--timeout", "--label", "--retry-on")],
    *[("events", "--since"), ("status", "--check"), ("scale",), ("stop", "--pool"), ("labels",)],
    *[("schedule", "pause"), ("schedule", "delete"), ("hook", "delete", "q")],
    ("wait", "--timeout", "0"),
    *[("secret", "delete"), ("failures", "--filter"), ("--db",), ("resume",)],
]
AROUND: Final = {  # what follows the value
    "add": ("--priority", "--run-at", "--queue", "--timeout", "--key", "--cwd", "--env", "--shell",
            "--secret", "--log-file", "--label", "--retry-on", "--on-dead", "--after-ok", "--mutex",
            "--max-retries"),
    "schedule add": ("--tz", "--name"),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
def test_arguments(database: str, way: tuple[str, ...]) -> None:
    for text in ARGUMENTS:
        told = call("--db", database, *way, text)
        assert told.err == "" or one_clear_line(told), (text, told)


def test_options_of_add(database: str) -> None:
    for number, option in enumerate(AROUND["add"]):
        for text in ARGUMENTS[number % 3 :: 3]:  # each value meets a third of them
            told = call("--db", database, "add", option, text, "true")
            assert told.err == "" or one_clear_line(told), (option, text, told)


def test_times_and_zones_of_schedules(database: str) -> None:
    for text in ARGUMENTS[::2]:
        ways = [
            (text, "true"),
            *[(each, text, "@daily", "true") for each in AROUND["schedule add"]],
        ]
        for way in ways:
            told = call("--db", database, "schedule", "add", *way)
            assert told.err == "" or one_clear_line(told), (way, told)


def test_the_database_of_the_environment(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ARGUMENTS:
        if text and "\0" not in text:
            monkeypatch.setenv("QUEUECTL_DB", text)
            told = call("status")
            assert told.code == 0 or one_clear_line(told), text


@pytest.mark.parametrize(
    "text",
    [
        b"\xff", b"shell = 1", b"shell = 'sh'", b"keys = []", b"capture_env = ['a b']", b"x = 1",
        b"secrets = 1", b"[" * 100_000, b"a = " + b"[" * 50_000 + b"]" * 50_000, b"\0",
        b'shell = "/bin/sh\\u0000"', b"shell = " + b"9" * 6000,
        b"\x1b]0;x\x07 = 1", b'"\x1b" = 1', b'[keys]\nquit = 1',
    ],
)  # fmt: skip
def test_the_config_file(database: str, tmp_path: Path, text: bytes) -> None:
    (tmp_path / ".config" / "queuectl").mkdir(parents=True)
    (tmp_path / ".config" / "queuectl" / "config.toml").write_bytes(text)

    told = call("--db", database, "add", "true")

    assert told.code == 2
    assert one_clear_line(told), told


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)


def test_any_object_is_a_job_or_an_error(database: str) -> None:
    with open_engine(database) as engine:

        @given(st.dictionaries(st.sampled_from(sorted(_FIELDS)), json_values, max_size=4))
        @settings(max_examples=60, deadline=None, database=None)
        def check(fields: dict[str, object]) -> None:
            try:
                new = ObjectReader(engine, {}, {}).job(json.dumps({"command": "true", **fields}))
                stored_and_read(engine, new)
            except QueuectlError as error:
                assert error.exit_code in (1, 2, 3)

        check()


# -- what a damaged or hostile database holds


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE job SET run_at_ms = 9223372036854775807",
        "UPDATE job SET command = CAST(x'eda080' AS TEXT)",
        "UPDATE queue SET name = CAST(x'ff' AS TEXT)",
    ],
)
def test_what_we_never_wrote_is_damage(database: str, change: str) -> None:
    alter(Path(database), change)

    with open_engine(database) as engine, pytest.raises(StorageError, match="damaged"):
        list(engine.jobs())

    assert one_clear_line(call("--db", database, "list", "--all"))


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    for name in ("caf\udce9.db", "nul\0.db"):
        with pytest.raises(StorageError, match="not valid UTF-8"):
            create_database(f"{tmp_path}/{name}")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE context SET body = json_set(body, '$.cwd', '/' || char(0))",
        "UPDATE context SET body = json_set(body, '$.shell', '/bin/sh' || char(0))",
        "UPDATE context SET body = json_set(body, '$.env', json_object('A' || char(0), 'x'))",
        "UPDATE job SET argv = '[\"a\\u0000\"]'",
        "UPDATE job SET argv = '[\"\\ud800\"]'",
        "UPDATE job SET log_file = '/' || char(0)",
    ],
)
def test_a_job_that_cannot_be_started_fails_and_harms_no_worker(database: str, change: str) -> None:
    """What `add` refuses may have been written by another program."""
    alter(Path(database), change, "UPDATE job SET max_retries = 0")
    with open_engine(database) as engine:
        try:
            engine.start_pool()
            until(lambda: engine.get(1).state is JobState.DEAD)
            assert engine.get(1).reason in ("exit 126", "exit 127")
        finally:
            stop_pools(engine)
