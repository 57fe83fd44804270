"""What people type who come from elsewhere: aliases, letters, Tab, and a page to read."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess

import click
import pytest

from queuectl_engine.cli.command import ALIASES, COMMANDS
from queuectl_engine.cli.root import root
from queuectl_engine.engine import Engine
from queuectl_engine.errors import QueuectlError
from queuectl_engine.job import State
from tests.cli.program import ROOT, Program
from tests.repository.driver import Driver

COMPLETE = ("bash", "--norc", "--noprofile", "-c")


def test_every_alias_means_a_command_and_hides_none() -> None:
    names = {name for group in COMMANDS.values() for name in group}
    assert {words[0] for words in ALIASES.values()} <= names
    assert not any(len(alias) == 1 and alias[0] in names for alias in ALIASES)


def test_aliases_do_what_they_did_elsewhere(queuectl: Program, drive: Driver) -> None:
    drive.job_in(State.DEAD)
    drive.add()
    assert queuectl("ls").out == queuectl("list").out
    assert queuectl("dlq").out == queuectl("dlq", "list").out == queuectl("list", "--dlq").out != ""
    assert queuectl("dlq", "retry", "1").out == "Job 1 requeued\n"
    assert queuectl("kill", "1").out == "Job 1 cancelled\n"
    assert queuectl("re", "1").out == "Job 1 requeued\n"
    assert queuectl("rm", "1", "2").lines == ["Job 1 deleted", "Job 2 deleted"]
    assert queuectl("log", "9", code=3).err.startswith("error: no job 9")
    assert "did you mean" in queuectl("lst", code=2).err


def test_enqueue_takes_an_object_or_a_line(queuectl: Program, engine: Engine) -> None:
    queuectl("enqueue", '{"id": "job1", "command": "sleep 2", "max_retries": 2}')
    queuectl("enqueue", "{ echo a; }")
    queuectl("enqueue", "--max-retries", "0", "echo b")
    jobs = list(engine.jobs())
    assert [(job.key, job.command, job.max_retries) for job in jobs] == [
        ("job1", "sleep 2", 2),
        (None, "{ echo a; }", 3),
        (None, "echo b", 0),
    ]
    assert "unknown key 'colour'" in queuectl("enqueue", '{"colour": 1}', code=2).err


def test_letters_and_words_of_others_are_understood(queuectl: Program, engine: Engine) -> None:
    queuectl("add", "-g", "gpu", "-o", "3", "-w", "/", "-d", "3h", "-p", "true")
    queuectl("add", "--group", "gpu", "--retries", "1", "--delay", "1h", "--working-directory=/",
             "--", "ls", "--group", "x")  # fmt: skip
    first, second = engine.jobs()
    assert (first.queue, first.priority, first.stored) == ("gpu", 3, State.SCHEDULED)
    assert engine.context_of(first).cwd == "/"
    assert (second.queue, second.max_retries, second.argv) == ("gpu", 1, ("ls", "--group", "x"))
    assert len(queuectl("list", "-g", "gpu").lines) == len(queuectl("ls", "-a").lines) == 2
    with queuectl.running("worker", "start", "-j", "2", "--drain") as worker:
        assert worker.end().code == 0


def tab(program: Program, line: str, *, setup: str = "") -> list[str]:
    """What a real bash offers at the end of a line."""
    words = shlex.split(line) + [""] * line.endswith(" ")
    quoted = " ".join(map(shlex.quote, words))
    script = f"""
      {setup}
      eval "$(queuectl completion bash)"
      COMP_WORDS=({quoted}) COMP_CWORD={len(words) - 1} COMP_LINE={shlex.quote(line)}
      COMP_POINT={len(line)}
      $(complete -p queuectl | sed 's/.*-F \\([^ ]*\\) .*/\\1/') queuectl
      printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    binary = program.directory / "bin"
    binary.mkdir(exist_ok=True)
    (binary / "queuectl").write_text(f'#!/bin/sh\nexec {shlex.join(program.command())} "$@"\n')
    (binary / "queuectl").chmod(0o755)
    done = subprocess.run(
        [*COMPLETE, script],
        capture_output=True,
        text=True,
        cwd=program.directory,
        env={**program.env, "PATH": f"{binary}:{program.env['PATH']}"},
        timeout=60,
    )
    assert done.stderr == ""
    return [word for word in done.stdout.splitlines() if word]


@pytest.fixture
def full(queuectl: Program, drive: Driver) -> Program:
    """Jobs in several states: 1 dead, 2 processing, 3 to 12 pending, two with keys."""
    drive.job_in(State.DEAD, key="nightly")
    drive.job_in(State.PROCESSING, queue="gpu")
    for _ in range(9):
        drive.add()
    drive.add(key="rm -rf $(here)")
    return queuectl


def test_tab_offers_the_jobs_that_a_command_can_take(full: Program) -> None:
    assert tab(full, "queuectl requeue ") == ["1"]
    assert tab(full, "queuectl cancel 1") == ["10", "11", "12"]
    assert tab(full, "queuectl wait ")[:2] == ["2", "3"]
    assert tab(full, "queuectl show ")[:2] == ["12", "11"]
    assert tab(full, "queuectl show night") == ["nightly"]
    assert tab(full, "queuectl show rm") == []  # a key that a shell would run
    assert tab(full, "queuectl dlq retry ") == ["1"]


def test_tab_offers_queues_and_commands(full: Program) -> None:
    assert tab(full, "queuectl pause ") == ["default", "gpu"]
    assert tab(full, "queuectl list --queue g") == ["gpu"]
    assert tab(full, "queuectl requ") == ["requeue"]
    assert tab(full, "queuectl add --fol") == ["--follow"]
    full("add", "--label", "nightly", "true")
    assert tab(full, "queuectl list --label n") == ["nightly"]
    full("--db", "other.db", "initdb")
    full("--db", "other.db", "add", "--queue", "elsewhere", "true")
    assert tab(full, "queuectl --db other.db pause ") == ["elsewhere"]


def test_tab_offers_nothing_and_makes_nothing_where_nothing_is(bare: Program) -> None:
    assert tab(bare, "queuectl show ") == []
    assert not any((bare.directory.parent / "home").rglob("*.db"))


def test_tab_loads_nothing_that_draws(full: Program) -> None:
    script = (
        "import sys\n"
        "from queuectl_engine.cli.root import run\n"
        "run([])\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    variables = {
        "_QUEUECTL_COMPLETE": "bash_complete",
        "COMP_WORDS": "queuectl show ",
        "COMP_CWORD": "2",
    }
    done = subprocess.run(
        [full.command()[0], "-c", script],
        capture_output=True,
        text=True,
        cwd=full.directory,
        env={**full.env, **variables},
        timeout=60,
    )
    assert "plain,12" in done.stdout
    loaded = set(done.stderr.split())
    assert "queuectl_engine.cli.completing" in loaded
    assert loaded.isdisjoint({"rich", "rich_click", "textual", "queuectl_engine.pool"})


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_told_what_a_job_is(full: Program, shell: str) -> None:
    script = "import sys\nfrom queuectl_engine.cli.root import run\nrun([])"
    words = "queuectl requeue" if shell == "fish" else "queuectl requeue "
    variables = {"_QUEUECTL_COMPLETE": f"{shell}_complete", "COMP_WORDS": words, "COMP_CWORD": "2"}
    if shell == "fish":
        variables["COMP_CWORD"] = ""
    done = subprocess.run(
        [full.command()[0], "-c", script],
        capture_output=True,
        text=True,
        cwd=full.directory,
        env={**full.env, **variables},
        timeout=60,
    )
    assert "1" in done.stdout
    assert "dead true" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_scripts_are_ones_that_the_shells_read(queuectl: Program, shell: str) -> None:
    if not (program := shutil.which(shell)):
        pytest.skip(f"{shell} is not installed")
    script = queuectl("completion", shell).out
    done = subprocess.run([program, "-n"], input=script, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_command_of_the_page_for_newcomers_is_understood() -> None:
    page = (ROOT / "docs" / "coming-from.md").read_text(encoding="utf-8")
    inline = re.findall(r"`(queuectl(?:-engine)? [^`]+)`", page)
    blocks = re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    lines = inline + [line.partition("  #")[0] for block in blocks for line in block.splitlines()]
    shown = [part for line in lines for part in line.split(" && ")]
    assert all(part.startswith("queuectl ") for part in shown)
    assert len(shown) > 40
    for line in shown:
        words = shlex.split(line.replace("\\|", "|"))[1:]
        try:
            parse(words)
        except (click.ClickException, QueuectlError) as error:
            pytest.fail(f"{line}: {error}")


def parse(words: list[str]) -> None:
    """Read a command line as the program would, without doing it."""
    with root.make_context("queuectl", list(words)) as ctx:
        rest = [*ctx._protected_args, *ctx.args]
        if rest:
            name, command, rest = root.resolve_command(ctx, rest)
            assert command
            with command.make_context(name, rest, parent=ctx):
                pass


def test_what_the_page_must_not_show_is_refused_by_its_test() -> None:
    for bad in ("lst", "list --sate dead", "wait --timeout soon", "scale many"):
        with pytest.raises((click.ClickException, QueuectlError)):
            parse(bad.split())
