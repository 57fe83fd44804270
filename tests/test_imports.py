"""What importing the engine loads: no screen, no pool, and never the system's SQLite."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import queuectl_engine

PACKAGE = Path(queuectl_engine.__file__).parent
STORE = PACKAGE / "repository" / "sqlite"
UNWANTED = {
    "asyncio",
    "click",
    "cronsim",
    "multiprocessing",
    "prometheus_client",
    "psycopg",
    "queuectl_engine.cli",
    "queuectl_engine.pool",
    "queuectl_tui",
    "rich",
    "rich_click",
    "sqlite3",
    "textual",
    "zoneinfo",
}
USES = {
    "import": "import queuectl_engine",
    "open and add": (
        "import queuectl_engine, sys\n"
        "with queuectl_engine.open_engine(sys.argv[1], create=True) as engine:\n"
        "    engine.get(engine.add('true').id)\n"
        "    engine.page(queuectl_engine.View.PENDING, limit=1)\n"
        "    engine.counts()"
    ),
}


@pytest.mark.parametrize("use", USES)
def test_a_fresh_interpreter_loads_only_what_it_needs(tmp_path: Path, use: str) -> None:
    script = f"{USES[use]}\nimport sys\nprint(*sys.modules)"
    command = [sys.executable, "-c", script, str(tmp_path / "queue.db")]

    done = subprocess.run(command, capture_output=True, text=True, check=True)

    loaded = set(done.stdout.split())
    assert "queuectl_engine.errors" in loaded
    assert {name for name in loaded if name in UNWANTED} == set()


def test_a_worker_has_all_that_it_may_need_before_it_begins() -> None:
    """What it imported later could be of another version."""
    script = "import queuectl_engine.pool.preload, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    store = {f"queuectl_engine.repository.sqlite.{file.stem}" for file in STORE.glob("[a-z]*.py")}
    assert store - set(done.stdout.split()) == set()


def test_workers_share_no_more_than_they_use() -> None:
    """Each module spreads what they do use over more pages, and each page written to is copied."""
    script = (
        "import queuectl_engine.pool.preload, queuectl_engine.pool.fork_server_process, gc, sys\n"
        "print(gc.isenabled(), *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    collects, *loaded = done.stdout.split()
    assert collects == "True"
    unused = {"ast", "hashlib", "multiprocessing", "pkgutil", "socket", "subprocess"}
    assert set(loaded) & {*unused, "queuectl_engine.pool.supervisor"} == set()


def test_what_a_worker_makes_first_fills_no_gaps() -> None:
    """Between what it shares with the others: it would copy their pages."""
    script = (
        "import queuectl_engine.pool.preload as preload, ctypes\n"
        "take, free = ctypes.pythonapi.PyObject_Malloc, ctypes.pythonapi.PyObject_Free\n"
        "take.restype, take.argtypes = ctypes.c_void_p, [ctypes.c_size_t]\n"
        "free.restype, free.argtypes = None, [ctypes.c_void_p]\n"
        "for size in (48, 96, 160):\n"
        "    gaps = [take(size) for _ in range(400)][::4]\n"
        "    for gap in gaps: free(gap)\n"
        "    preload._use_up_small_pieces()\n"
        "    print(len({take(size) for _ in range(100)} & {*gaps}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert max(map(int, done.stdout.split())) <= 5  # what it itself held meanwhile is free again


def test_every_public_name_can_be_had_and_type_checkers_see_it_where_it_is() -> None:
    module = ast.parse(Path(queuectl_engine.__file__).read_text(encoding="utf-8"))
    (seen,) = (node for node in module.body if isinstance(node, ast.If))
    imports = [node for node in seen.body if isinstance(node, ast.ImportFrom)]

    for name in queuectl_engine.__all__:
        assert getattr(queuectl_engine, name) is not None
    for node in imports:
        names = queuectl_engine._PLACES[str(node.module).removeprefix("queuectl_engine.")]
        assert names.split() == [alias.name for alias in node.names]
    assert len(imports) == len(queuectl_engine._PLACES)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        queuectl_engine.Nothing  # noqa: B018


def test_a_pool_loads_no_metrics_library_unless_it_serves_metrics() -> None:
    script = (
        "import queuectl_engine.pool.preload, queuectl_engine.pool.supervisor, sys\n"
        "print(*sys.modules)"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    loaded = set(done.stdout.split())
    assert "queuectl_engine.pool.worker" in loaded
    assert loaded.isdisjoint({"prometheus_client", "http.server", "click", "rich"})


def test_no_module_imports_the_sqlite_of_the_system() -> None:
    """Beside apsw it would drop the locks of an open database, and it may have the WAL bug."""
    modules = sorted(PACKAGE.rglob("*.py"))

    imported = {name for module in modules for name in imports_of(module)}

    assert len(modules) > 20
    assert "apsw" in imported
    assert "sqlite3" not in imported


def imports_of(module: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names
