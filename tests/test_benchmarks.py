"""The benchmarks themselves: what they compare, what they write, and the databases they make."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import apsw
import pytest

from benchmarks import report
from benchmarks.generator import Shares, generate
from benchmarks.harness import Answer, Bench, Case, Skip, percentile
from benchmarks.peers import peer
from benchmarks.plot import svg
from benchmarks.questions import parts
from benchmarks.questions.screens import changing
from benchmarks.questions.storing import cycles, registered
from benchmarks.terminal import Terminal
from queuectl_engine import JobState, State, View, open_engine
from queuectl_engine.repository.sqlite import SqliteRepository


def test_cases_take_turns_and_are_compared_round_by_round() -> None:
    order: list[str] = []

    def case(name: str, *values: float) -> Case:
        left = list(values)

        def run() -> float:
            order.append(name)
            return left.pop(0)

        return run

    answer = Answer("Which", "jobs/s", "base")
    answer.ask({"base": case("base", 2, 4), "ours": case("ours", 4, 4)}, 2)

    assert order == ["base", "ours"] * 2
    assert answer.ratios("ours") == [2, 1]


def test_what_cannot_run_is_left_out_with_its_reason() -> None:
    def missing() -> float:
        raise Skip("it is not installed")

    answer = Answer("Which", "ms")
    answer.ask({"here": lambda: 1.0, "missing": missing}, 3)

    assert answer.figures == {"here": [1.0] * 3}
    assert answer.skipped == {"missing": "it is not installed"}
    assert "| missing | not run: it is not installed |" in "".join(report.section(answer))


def test_a_peer_that_cannot_be_installed_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.peers._pythons", lambda: ["/bin/false"])
    with pytest.raises(Skip, match="no-such-package cannot be installed"):
        peer(Bench(quick=True, root=tmp_path), "turns.py", "no-such-package")


def test_a_table_has_figures_ratios_and_goals() -> None:
    figures = {"base": [100.0, 200.0, 300.0], "ours": [150.0, 300.0, 330.0]}
    answer = Answer("Steady", "jobs/s", "base", figures, {"ours": "≥ 1.0 ×"})

    page = "".join(report.section(answer))

    assert "| ours | 300 (150 to 330) | 1.5 (1.1 to 1.5) | ≥ 1.0 × |" in page


def test_the_plot_has_each_line_and_escapes_its_name() -> None:
    points = [{"line": line, "x": x, "y": 0.5} for line in ("a<b", "c") for x in (1000, 10_000)]

    drawn = svg(points, "ms")

    assert drawn.count("<polyline") == 2
    assert "a&lt;b" in drawn
    assert "10,000" in drawn


def test_percentiles() -> None:
    assert [percentile([3, 1, 2, 4], share) for share in (0, 0.5, 0.99)] == [1, 3, 4]


def test_a_generated_database_is_as_if_the_engine_had_made_it(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    generate(path, 1_000)

    db = apsw.Connection(str(path))
    kept = db.execute("SELECT state, queue, n FROM counter ORDER BY 1, 2").fetchall()
    real = db.execute("SELECT state, queue, count(*) FROM job GROUP BY 1, 2").fetchall()
    assert kept == real
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert db.execute("PRAGMA foreign_key_check").fetchall() == []
    indexes = "SELECT count(*) FROM sqlite_master WHERE type = 'index' AND tbl_name = 'job'"
    (made,) = db.execute(indexes).fetchall()[0]
    with open_engine(tmp_path / "other.db", create=True) as other:
        fresh = apsw.Connection(other.database.location)
        assert fresh.execute(indexes).fetchall() == [(made,)]
    with registered(path, 1) as (repository, worker):
        assert len(cycles(repository, worker, 20)) == 20
    with open_engine(path) as engine:
        assert engine.counts().of(JobState.PROCESSING) == 1
        assert len(engine.page(View.DEAD, limit=20).jobs) == 20
        assert sum(cause.dead for cause in engine.causes()) == 50


def test_a_generated_crowd_has_the_shares_that_were_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    generate(path, 1_000, Shares(ready=1, later=99))

    with open_engine(path) as engine:
        counts = engine.counts()
    assert [counts.of(state) for state in (State.READY, State.SCHEDULED)] == [10 + 2, 990]
    journal = apsw.Connection(str(path)).execute("PRAGMA journal_mode").fetchall()
    assert journal == [("wal",)]


def test_a_turns_statements_can_be_executed_again_and_again(tmp_path: Path) -> None:
    with parts.ready_jobs(Bench(quick=True, root=tmp_path), 5) as (repository, worker):
        db = cast(SqliteRepository, repository)._db
        statements = parts.recorded(db, repository, worker)
        before = db.run("SELECT * FROM job")
        for _ in range(2):
            changed = []
            for sql, values in statements:
                db.run(sql, values)
                if sql.startswith(("UPDATE", "INSERT")):
                    changed.append(db.changes())
            db.run("ROLLBACK")
            assert len(changed) >= 4
            assert set(changed) == {1}
        assert db.run("SELECT * FROM job") == before


def test_a_queue_lacks_only_what_was_dropped(tmp_path: Path) -> None:
    bench = Bench(quick=True, root=tmp_path)
    with parts.ready_jobs(bench, 5, parts.TRIGGERS) as (repository, worker):
        db = cast(SqliteRepository, repository)._db
        assert db.value("SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'") == 0
        assert db.value("SELECT count(*) FROM sqlite_schema WHERE tbl_name = 'job'") > 10
        assert len(cycles(repository, worker, 5)) == 5


@pytest.mark.parametrize("way", ["rows", "cells", "whole"])
def test_the_other_screens_show_what_changes(tmp_path: Path, way: str) -> None:
    with open_engine(tmp_path / "queue.db", create=True) as engine:
        engine.add_lines([f"make target-{n}" for n in range(100)])
        path = Path(engine.database.location)
    program = ["-m", "benchmarks.other_screens", way, str(path)]
    with changing(path) as change, Terminal(program, tmp_path, 80, 24) as terminal:
        terminal.shows(b"make target-5")  # the first five run
        for _ in range(10):
            change.one()
        terminal.shows(b"make target-15")


def test_a_hundred_changes_are_ends_and_deaths_of_jobs(tmp_path: Path) -> None:
    with open_engine(tmp_path / "queue.db", create=True) as engine:
        engine.add_lines(["true"] * 30)
        with changing(Path(engine.database.location)) as change:
            for _ in range(20):
                change.one()
            counts, (pool,) = engine.counts(), engine.pools()
    assert pool.alive
    assert [counts.of(state) for state in (JobState.COMPLETED, JobState.DEAD)] == [18, 2]
    assert counts.of(JobState.PROCESSING) == 5
