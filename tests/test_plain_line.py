"""Which lines mean the same without a shell: compared with what shells make of them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from queuectl_engine.job import Context
from queuectl_engine.plain_line import plain_words, runs_directly
from tests.samples import stored

SHELLS = [shell for shell in ("sh", "dash", "bash", "ksh", "mksh") if shutil.which(shell)]
NEEDS_A_SHELL = [
    "", "  ", "''", "true", "echo hello", "'echo' hello", "cd /", "exit 3", ". ./env", ": x",
    "! prog", "[ a ]", "'[' a ]", "test -e x", "if", "time prog", "exec prog", "FOO=1 prog",
    "FOO=1", "a+=1", "prog; prog", "prog & prog", "prog &", "a | b", "a && b", "a || b",
    "prog > f", "prog <f", "prog 2>&1", "prog $HOME", "prog `x`", 'prog "$HOME"', 'prog "`x`"',
    'prog "a\\b"', "prog a\\ b", "prog *.c", "prog a?", "prog [ab]", "prog {a,b}", "prog ~",
    "prog ~/x", "prog a=~/x", "prog a:~", "prog # no", "prog #", "(prog)", "prog 'open",
    'prog "open', "prog\nprog", "prog a\rb", "prog !x", 'prog "!x"', "prog ^a", "-c prog",
    "+x prog", "%1", "prog a\N{NO-BREAK SPACE}b", "prog é", "prog\x00", "prog 'a'&", "'pr=og' a",
    "prog\vb",
]  # fmt: skip
PLAIN = {
    "/bin/true": ("/bin/true",),
    "  make   -j4 all \t": ("make", "-j4", "all"),
    "ls -l a.b,c:d@e%f+g_h": ("ls", "-l", "a.b,c:d@e%f+g_h"),
    "dd if=a of=b bs=1M": ("dd", "if=a", "of=b", "bs=1M"),
    "prog 'a b' \"c d\" e'f g'\"h\"i": ("prog", "a b", "c d", "ef ghi"),
    "prog '' \"\" a''": ("prog", "", "", "a"),
    "prog '$HOME `x` * ~ # ; \\ \" !'": ("prog", '$HOME `x` * ~ # ; \\ " !'),
    'prog "it\'s; * ~ # é"': ("prog", "it's; * ~ # é"),
    "prog 'two\nlines'": ("prog", "two\nlines"),
    "./script --a=b -- -x": ("./script", "--a=b", "--", "-x"),
    "'my prog' x": ("my prog", "x"),
    "python3 -c 'print(1)'": ("python3", "-c", "print(1)"),
}


@pytest.mark.parametrize("line", NEEDS_A_SHELL)
def test_a_line_that_a_shell_must_read(line: str) -> None:
    assert plain_words(line) is None


@pytest.mark.parametrize("line", PLAIN)
def test_a_line_that_names_a_program_and_its_arguments(line: str) -> None:
    assert plain_words(line) == PLAIN[line]


@pytest.mark.skipif("bash" not in SHELLS, reason="bash lists its own words")
def test_every_word_of_bash_is_known() -> None:
    asked = ["bash", "-c", "compgen -b; compgen -k"]
    words = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()

    assert len(words) > 50
    assert [word for word in words if plain_words(f"{word} x") is not None] == []


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A PATH on which `prog` prints each of its arguments with a NUL behind it."""
    directory = tmp_path_factory.mktemp("bin")
    for name in ("prog", "my prog"):
        program = Path(directory / name)
        program.write_text('#!/bin/sh\nprintf "%s\\0" "$@"\n')
        program.chmod(0o755)
    (directory / "a1").write_text("here, so that a pattern would match")
    return {**os.environ, "PATH": f"{directory}:{os.environ['PATH']}"}


WORDS = st.lists(
    st.one_of(
        st.text(alphabet="a1_./:@,+%=-~*?#!\\&;é", min_size=1, max_size=4),
        st.text(alphabet="a '$`\\*\n~é#!", max_size=4).map(lambda t: f'"{t}"'),
        st.text(alphabet='a "$`\\*\n~é#!', max_size=4).map(lambda t: f"'{t}'"),
    ),
    max_size=3,
).map("".join)
LINES = st.lists(st.one_of(WORDS, st.sampled_from([" ", "\t", "  "])), max_size=8).map(" ".join)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_plain_line_is_what_a_shell_makes_of_it(shell: str, surroundings: dict[str, str]) -> None:
    """Whatever the rest of the line: if we split it, a shell hands over the same arguments."""
    here = surroundings["PATH"].split(":")[0]
    seen = []

    @settings(max_examples=150, deadline=None)
    @given(LINES)
    @example("'a b' \"c;d\" e=f")
    @example("a\\ b")
    def compare(rest: str) -> None:
        words = plain_words(f"prog {rest}")
        if words is None:
            return
        done = subprocess.run(
            [shell, "-c", f"prog {rest}"],
            env=surroundings,
            cwd=here,
            capture_output=True,
            check=True,
        )
        # printf prints one empty string when there is no argument at all.
        expected = "".join(f"{word}\0" for word in words[1:]) or "\0"
        assert done.stdout.decode() == expected
        seen.append(words)

    compare()
    assert len(seen) > 20, "the lines must not all need a shell"


def test_who_asks_for_a_shell_gets_it() -> None:
    job = stored(command="make all")

    assert runs_directly(job, Context("/", 0o022))
    assert not runs_directly(job, Context("/", 0o022, shell_asked=True))
    assert not runs_directly(job, Context("/", 0o022, shell="/bin/bash"))
    assert not runs_directly(stored(command="make; make"), Context("/", 0o022))
    assert runs_directly(stored(command="x", argv=("x",)), Context("/", 0o022, shell="/bin/bash"))
