"""The manual page says what `--help` says, and every renderer takes it without a word."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from docs.make_man_page import PAGE, page
from queuectl_engine.cli.command import COMMANDS

ROOT = Path(__file__).parent.parent.parent
RENDERERS = {
    "groff": ["groff", "-man", "-Tutf8", "-ww"],
    "man": ["man", "--warnings", "-l"],
    "mandoc": ["mandoc", "-T", "lint"],
}


def test_the_page_is_what_the_command_line_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python docs/make_man_page.py"


@pytest.mark.parametrize("renderer", RENDERERS)
def test_it_renders_without_warnings(renderer: str) -> None:
    if shutil.which(renderer) is None:
        pytest.skip(f"{renderer} is not installed")
    done = subprocess.run(
        [*RENDERERS[renderer], str(PAGE)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    if renderer == "mandoc":
        assert done.stdout == ""
    else:
        commands = [name for group in COMMANDS.values() for name in group]
        assert [name for name in commands if f"queuectl {name}" not in bare(done.stdout)] == []


def bare(text: str) -> str:
    """Without the overstrikes and colours of bold."""
    return re.sub(r".\x08|\x1b\[[0-9;]*m", "", text)


def test_the_wheel_brings_it() -> None:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    shared = project["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    assert shared == {"docs/queuectl.1": "share/man/man1/queuectl.1"}
