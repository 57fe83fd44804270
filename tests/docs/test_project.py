"""The project file knows every part of the project."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import queuectl_engine

ROOT = Path(__file__).parent.parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_directory_of_tests_is_run() -> None:
    listed = PROJECT["tool"]["pytest"]["ini_options"]["testpaths"]

    holding = {path.parent.relative_to(ROOT) for path in (ROOT / "tests").rglob("test_*.py")}

    outside = [
        str(directory)
        for directory in holding
        if str(directory) != "tests" and not any(directory.is_relative_to(d) for d in listed)
    ]
    assert outside == []
    assert "tests/test_*.py" in listed


def test_everything_that_is_pinned_is_a_release() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()

    pins = [line for line in lines if line and not line.startswith("#")]

    assert all(re.fullmatch(r"[A-Za-z0-9-]+==[0-9.]+", pin) for pin in pins)
    assert any(pin.startswith("textual==") for pin in pins)  # what the snapshots are drawn by


def test_both_packages_tell_type_checkers_that_they_are_typed() -> None:
    assert (ROOT / "queuectl_engine" / "py.typed").exists()
    assert (ROOT / "queuectl_tui" / "py.typed").exists()


def test_the_version_is_the_one_that_the_package_says() -> None:
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "queuectl_engine/__init__.py"
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+|rc\d+)?", queuectl_engine.__version__)
