"""Programs that use the library: the sample is type-checked and run, the examples are run."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import queuectl_engine
from queuectl_engine import Engine, QueuectlError, open_engine
from queuectl_engine.new_job import Policy
from tests.pools import stop_pools

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "tests" / "consumer_sample.py"
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


def test_the_sample_runs(tmp_path: Path) -> None:
    command = [sys.executable, str(SAMPLE), "pictures.db"]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "1 pending, 0 runs: convert 'b c.png' -resize 200 'small-b c.png';"
        " convert a.png -resize 200 small-a.png\n"
    )


def test_the_sample_is_clean_under_mypy_strict() -> None:
    """So the package ships types, and its public names and signatures can be relied on."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", str(SAMPLE)]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, ""), done.stdout


@pytest.fixture
def no_pool_left(tmp_path: Path) -> Iterator[None]:
    """Stop what an example that failed half-way has started."""
    yield
    with open_engine(tmp_path / "jobs.db") as engine:
        stop_pools(engine)


@pytest.mark.usefixtures("no_pool_left")
def test_the_examples_of_the_page_run_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    names: dict[str, object] = {}

    examples = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)

    assert len(examples) > 8
    for example in examples:
        exec(compile(example, "docs/api.md", "exec"), names)


def test_the_page_names_every_field_of_a_policy() -> None:
    assert [name for name in Policy.__annotations__ if f"| `{name}` |" not in PAGE] == []


def test_the_page_names_every_method_and_every_error() -> None:
    methods = [name for name in vars(Engine) if not name.startswith("_")]
    errors = [
        name
        for name, value in vars(queuectl_engine).items()
        if isinstance(value, type) and issubclass(value, QueuectlError)
    ]

    missing = [name for name in methods + errors if f"`{name}`" not in PAGE]

    # What `wait` and the command line raise for a failed job needs no words here.
    assert missing == ["JobFailed"]
