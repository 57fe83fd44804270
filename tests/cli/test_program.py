"""The program as a whole: help, errors, pipes, what it imports."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from docs.make_cli_reference import PAGE, page
from queuectl_engine import __version__
from queuectl_engine.cli.command import COMMANDS
from queuectl_engine.engine import Engine
from tests.cli.program import Program

NAMES = [name for names in COMMANDS.values() for name in names]
ORIGINAL = ["initdb", "add", "list", "worker", "show", "requeue"]
HEAVY = {"rich", "rich_click", "textual", "multiprocessing", "asyncio", "sqlite3"}
COSTLY = {  # for `add`, which needs none of it
    "dataclasses",
    "difflib",
    "hmac",
    "importlib.metadata",
    "logging",
    "pathlib",
    "random",
    "secrets",
    "shlex",
    "shutil",
    "subprocess",
    "tempfile",
    "tomllib",
    "urllib.parse",
    *(
        f"queuectl_engine.{name}"
        for name in (
            "filter",
            "following",
            "hook",
            "job",
            "lifecycle",
            "metrics",
            "plan",
            "pool",
            "repository.protocol",
            "repository.rows",
            "repository.sqlite.claiming",
            "repository.sqlite.reading",
            "repository.sqlite.turns",
            "schedule",
            "times",
        )
    ),
}


def test_the_original_commands_are_there() -> None:
    assert set(ORIGINAL) < set(NAMES)


def test_the_reference_is_what_help_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python docs/make_cli_reference.py"


def test_every_command_has_help_and_lists_what_it_takes(queuectl: Program) -> None:
    for name in NAMES:
        said = queuectl(name, "--help").out
        assert said.startswith(f"Usage: queuectl {name} ")
        assert "--help" in said
    assert all(f"  {name} " in queuectl("--help").out for name in NAMES)


def test_it_knows_its_version(bare: Program) -> None:
    assert bare("--version").out == f"queuectl {__version__}\n"


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (["lst"], "did you mean 'list'?"),
        (["xyzzy"], "'queuectl --help' shows them all"),
        (["--nonsense"], "try 'queuectl --help'"),
        (["list", "--nonsense"], "try 'queuectl list --help'"),
        (["show"], "try 'queuectl show --help'"),
        (["show", "1", "2"], "try 'queuectl show --help'"),
        (["completion", "cmd"], "try 'queuectl completion --help'"),
        (["worker", "-n", "0"], "try 'queuectl worker --help'"),
        (["worker", "--backoff-base", "0.5"], "try 'queuectl worker --help'"),
        (["worker", "--backoff-base", "nan"], "use 1 or more"),
        (["worker", "--queue", "two words"], "without spaces"),
        (["worker", "--grace", "soon"], "is no duration"),
        (["worker", "--name", "../up"], "must be 1 to 64"),
        (["worker", "--name", ""], "must be 1 to 64"),
        (["worker", "--detach", "--name", "a\nb"], "must be 1 to 64"),
        (["worker", "--json"], "--log-format json"),
        (["scale", "many"], "try 4, +1 or -1"),
        (["scale", "9" * 5000], "try 4, +1 or -1"),
    ],
)
def test_wrong_usage_is_one_line_with_a_hint(queuectl: Program, args: list[str], hint: str) -> None:
    assert hint in queuectl(*args, code=2).err


def test_a_locked_database_is_exit_75(queuectl: Program) -> None:
    with closing(apsw.Connection(str(queuectl.directory / "queue.db"))) as other:
        other.execute("BEGIN IMMEDIATE")
        assert "try again" in queuectl("add", "echo 1", code=75).err
    assert queuectl("list").out == ""


@pytest.mark.parametrize("args", ["list", "list --json", "status", "--help", "show 1", "logs 1"])
def test_a_pipe_closed_by_its_reader_is_no_error(
    queuectl: Program, engine: Engine, args: str
) -> None:
    engine.add_many(engine.new_job(f"echo {'x' * 100} {n}") for n in range(2_000))
    done = queuectl.shell(f"queuectl {args} | head -n 1")
    assert (done.code, done.err) == (0, "")
    assert len(done.lines) == (0 if args == "logs 1" else 1)


def test_a_pipe_that_is_closed_before_it_began_is_no_error(
    queuectl: Program, engine: Engine
) -> None:
    done = queuectl.shell("queuectl add 'echo 1' | true")
    assert (done.code, done.err) == (0, "")
    assert len(list(engine.jobs())) == 1


def test_a_full_disk_under_stdout_is_one_line(queuectl: Program, engine: Engine) -> None:
    engine.add("echo 1")
    done = queuectl.shell("queuectl list > /dev/full")
    assert done.code == 1
    assert "cannot write the answer (No space left on device)" in done.err
    assert done.err.count("\n") == 1


def test_what_was_done_is_said_to_be_where_the_answer_cannot_be_written(
    queuectl: Program, engine: Engine
) -> None:
    done = queuectl.shell("queuectl add 'echo 1' > /dev/full")
    assert done.err.endswith("(No space left on device); what was asked for is done\n")
    assert len(list(engine.jobs())) == 1


def test_closed_streams_are_survived(queuectl: Program, engine: Engine) -> None:
    assert queuectl.shell("queuectl add 'echo 1' >&-").code == 0
    assert queuectl.shell("queuectl add 'echo 2' <&- 2>&-").code == 0
    assert queuectl.shell("queuectl show 99 2>&-").code == 3
    assert [job.command for job in engine.jobs()] == ["echo 1", "echo 2"]


def test_a_locale_without_unicode_is_survived(queuectl: Program, engine: Engine) -> None:
    engine.add("echo é")
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    assert queuectl("list", env=ascii_only).out.endswith("\techo \\xe9\n")


def test_a_bug_is_one_line_and_its_traceback_is_there_for_who_asks(
    queuectl: Program, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import queuectl_engine.engine as e\n"
        "def broken(self): raise RuntimeError('as\\nif')\n"
        "e.Engine.counts = broken\n"
    )
    path = {"PYTHONPATH": f"{tmp_path}:{queuectl.env['PYTHONPATH']}"}
    said = queuectl("status", code=1, env=path).err
    assert said.startswith("error: unexpected RuntimeError: as\u23ceif; please report it")

    done = subprocess.run(
        queuectl.command("status"),
        capture_output=True,
        cwd=queuectl.directory,
        env={**queuectl.env, **path, "QUEUECTL_DEBUG": "1"},
    )
    assert done.returncode == 1
    assert b"Traceback" in done.stderr


def run_script(queuectl: Program, script: str) -> list[str]:
    """The lines that a Python of its own prints, where and as the program runs."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=queuectl.directory,
        env=queuectl.env,
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize("args", [["add", "-q", "echo 1"], ["list"], ["requeue", "1"]])
def test_only_what_draws_imports_what_draws(queuectl: Program, args: list[str]) -> None:
    script = (
        "import sys\n"
        "from queuectl_engine.cli.root import run\n"
        f"run({args!r})\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))\n"
        "print(any(name.startswith('queuectl_engine.pool') for name in sys.modules))"
    )
    *_, modules, pool = run_script(queuectl, script)
    assert set(modules.split()) & HEAVY == set()
    assert pool == "False"


def test_add_imports_next_to_nothing_beside_click(queuectl: Program) -> None:
    """A count in place of a time: it stays below 5 x `python -c pass` with these and no others."""
    script = (
        "import sys, click\n"
        "before = set(sys.modules)\n"
        "from queuectl_engine.cli.root import run\n"
        "run(['add', 'echo 1'])\n"
        "print(*set(sys.modules) - before)"
    )
    said, modules = run_script(queuectl, script)
    loaded = set(modules.split())
    assert said == "Job enqueued with ID: 1"
    assert "queuectl_engine.repository.sqlite.adding" in loaded
    assert loaded & (HEAVY | COSTLY) == set()
    assert len(loaded) <= 48


def test_add_takes_nothing_from_what_click_imports_in_vain(queuectl: Program) -> None:
    script = (
        "import sys\n"
        "from queuectl_engine.cli import main\n"
        "sys.argv = ['queuectl', 'add', 'echo 1']\n"
        "try:\n    main()\n"
        "finally:\n    print(*sys.modules)"
    )
    said, modules = run_script(queuectl, script)
    assert said == "Job enqueued with ID: 1"
    assert set(modules.split()) & {"ast", "dis", "locale", "tokenize"} == set()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_serves_both_programs(bare: Program, shell: str) -> None:
    script = bare("completion", shell).out
    assert "queuectl-engine" in script
    assert "_QUEUECTL_COMPLETE" in script


def test_bash_completes_commands_and_options(bare: Program) -> None:
    asked = {"_QUEUECTL_COMPLETE": "bash_complete", "COMP_CWORD": "1"}
    said = bare(env={**asked, "COMP_WORDS": "queuectl re"})
    names = ("requeue", "resume", "restore", "retention")
    assert said.lines == [f"plain,{name}" for name in names]
    said = bare(env={**asked, "COMP_WORDS": "queuectl add --pri", "COMP_CWORD": "2"})
    assert said.lines == ["plain,--priority"]
    for script in (bare("completion", "bash").out,):
        assert subprocess.run(["bash", "-n"], input=script.encode()).returncode == 0
