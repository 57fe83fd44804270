"""Plain lines run without a shell; everything about them is as if one had run them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from queuectl_engine import Engine
from tests.pool.conftest import StartPool, ended, printed

# The leader's name: that of the program itself, or sh where a shell waits for it.
WHO = "cat /proc/self/stat"


def script(path: Path, text: str, mode: int = 0o755) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory first on PATH, where jobs run."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_no_shell_is_started(engine: Engine, start_pool: StartPool, here: Path) -> None:
    """A shell that was asked for by name sets what none sets when it is spared."""
    script(here / "shell", '#!/bin/sh\nSHELL_RAN=yes exec /bin/sh "$@"\n')
    start_pool()

    plain = ended(engine, engine.add("env"))
    asked = engine.context(shell="/bin/bash")
    by_bash = ended(engine, engine.add("env", context=asked))
    own = engine.context(shell=str(here / "shell"))
    by_own = ended(engine, engine.add("env", context=own))

    assert "SHLVL=" not in without_ours(printed(engine, plain))
    assert "_=/usr/bin/env" in printed(engine, by_bash) or "_=/bin/env" in printed(engine, by_bash)
    assert "SHELL_RAN=yes" in printed(engine, by_own)
    assert "SHELL_RAN=yes" not in printed(engine, plain)


def without_ours(text: str) -> str:
    """Without what the pool's own environment has."""
    return "\n".join(line for line in text.splitlines() if line not in env_lines())


def env_lines() -> set[str]:
    return {f"{name}={value}" for name, value in os.environ.items()}


@pytest.mark.parametrize("line", ["env", "./there 'a  b' \"\" --c=d", "show '*' \"x y\""])
def test_the_same_with_and_without(
    engine: Engine, start_pool: StartPool, here: Path, line: str
) -> None:
    """Environment, arguments and directory: a shell that is asked for gives the same."""
    text = '#!/bin/sh\npwd; umask; printf "<%s>" "$0" "$@"; exit 3\n'
    for name in ("there", "show"):
        script(here / name, text)
    start_pool()
    asked = engine.context(shell="/bin/sh")

    direct = ended(engine, engine.add(line, max_retries=0))
    shell = ended(engine, engine.add(line, max_retries=0, context=asked))

    assert direct.reason == shell.reason
    assert comparable(printed(engine, direct)) == comparable(printed(engine, shell))


def comparable(text: str) -> list[str]:
    """Without what is the job's own."""
    own = ("QUEUECTL_JOB_ID=", "QUEUECTL_TOKEN=")
    return sorted(line for line in text.splitlines() if not line.startswith(own))


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("no-such-program", 127),
        ("./none", 127),
        ("./data", 126),
        ("./folder", 126),
        ("data x", 127),
    ],
)
def test_what_cannot_run_is_told_by_the_shell(
    engine: Engine, start_pool: StartPool, here: Path, line: str, code: int
) -> None:
    script(here / "data", "no program", mode=0o644)
    (here / "folder").mkdir()
    start_pool()
    asked = engine.context(shell="/bin/sh")

    direct = ended(engine, engine.add(line, max_retries=0))
    shell = ended(engine, engine.add(line, max_retries=0, context=asked))

    assert direct.reason == shell.reason == f"exit {code}"
    assert printed(engine, direct) == printed(engine, shell) != ""


def test_a_script_without_a_first_line_is_run_by_the_shell(
    engine: Engine, start_pool: StartPool, here: Path
) -> None:
    script(here / "bare", "echo bare $1\n")
    start_pool()

    assert printed(engine, ended(engine, engine.add("bare '$1'"))) == "bare $1\n"


def test_a_program_of_the_path_of_the_job(
    engine: Engine, start_pool: StartPool, here: Path
) -> None:
    """Not that of the pool, and not the first of the name that cannot be run."""
    for name, mode in (("one", 0o644), ("two", 0o755), ("three", 0o755)):
        (here / name).mkdir()
        script(here / name / "prog", f"#!/bin/sh\necho {name}\n", mode)
    start_pool()
    path = ":".join(str(here / name) for name in ("none", "one", "two", "three"))
    context = engine.context(env={"PATH": f"{path}:/usr/bin:/bin"})

    assert printed(engine, ended(engine, engine.add("prog", context=context))) == "two\n"
    nowhere = engine.context(env={"PATH": ""})
    assert ended(engine, engine.add("prog", context=nowhere, max_retries=0)).reason == "exit 127"


def test_a_signal_is_told_as_such(engine: Engine, start_pool: StartPool, here: Path) -> None:
    script(here / "dies", "#!/bin/sh\nkill -KILL $$\n")
    start_pool()

    assert ended(engine, engine.add("dies", max_retries=0)).reason == "killed by signal 9"
