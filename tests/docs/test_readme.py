"""README says what is so: its diagram, its commands, its tour and its links."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.make_state_diagram import BEGIN, END, WHY, diagram, outward_moves

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def block(mark: str) -> str:
    """The fenced block that follows a mark in README."""
    found = re.search(rf"^<!-- {mark} -->\n```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert found, f"README has no block marked {mark!r}"
    return found[1]


def queuectl_in(tmp_path: Path) -> dict[str, str]:
    """An environment with an empty home, in which `queuectl` is the one under test."""
    program = tmp_path / "bin" / "queuectl"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m queuectl_engine "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"}


def test_every_outward_move_has_its_reason_and_no_reason_is_left_over() -> None:
    assert set(WHY) == set(outward_moves())


def test_the_state_diagram_is_the_one_that_the_table_of_moves_makes() -> None:
    shown = README.split(BEGIN)[1].split(END)[0]

    assert shown == diagram(), "run: python docs/make_state_diagram.py"


@pytest.mark.parametrize(("mark", "last"), [("try", "queuectl-tui"), ("test", "pytest -n 4")])
def test_both_promises_are_one_command_line(mark: str, last: str) -> None:
    lines = block(f"command: {mark}").splitlines()

    assert len(lines) == 1
    assert lines[0].startswith("python3 -m venv .venv && ")
    assert lines[0].endswith(f" .venv/bin/{last}")


def test_ci_reads_the_test_command_from_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")

    assert "<!-- command: test -->" in script
    assert "pip install" not in script


def test_the_tour_goes_as_told(tmp_path: Path) -> None:
    around = queuectl_in(tmp_path)

    done = subprocess.run(
        ["sh", "-ec", block("tour")], cwd=tmp_path, env=around, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    assert "Job enqueued with ID: 3" in done.stdout
    assert "Traceback" not in done.stderr
    again = subprocess.run(
        ["queuectl", "list", "--all"], cwd=tmp_path, env=around, capture_output=True, text=True
    )
    states = {line.split()[0]: line for line in again.stdout.splitlines() if line.strip()}
    assert "completed" in states["1"]
    assert "pending" in states["2"]
    assert "pending" in states["3"]


def test_the_command_table_has_every_command_and_no_other(tmp_path: Path) -> None:
    table = README.split("\n## Commands\n")[1].split("\n## ")[0]
    told = {
        name
        for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
        for name in re.findall(r"`([a-z]+)`", row)
    }

    shown = subprocess.run(
        ["queuectl", "--help"], env=queuectl_in(tmp_path), capture_output=True, text=True
    ).stdout

    assert told == set(re.findall(r"^[ │]{2,4}([a-z]+) {2,}\S", shown, re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))

    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]

    assert missing == []


def test_every_file_that_the_architecture_names_is_there() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    modules = [p for d in ("queuectl_engine", "queuectl_tui") for p in (ROOT / d).rglob("*.py")]

    named = set(re.findall(r"`([\w/]+\.py)`", page))

    assert named
    assert [n for n in named if not any(str(m).endswith(f"/{n}") for m in modules)] == []
