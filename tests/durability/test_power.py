"""A power cut at any moment loses nothing that was acknowledged, and nothing is ever half there.

Seen to fail, each time it runs: with `synchronous=OFF`, with NORMAL for the connections of people,
without the rule that a worker's first commit after a second is synced, and without the sync of a
worker that fell quiet.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import apsw
import pytest

from queuectl_engine.repository.sqlite import SqliteRepository, connection
from queuectl_engine.repository.sqlite.connection import Connection
from tests.durability.disk import Disk, Entry, Fault, Kind, in_use
from tests.durability.images import Image, Platter
from tests.durability.looking import Schema, look, missing, put, schema_of
from tests.durability.workload import Acknowledged, Fact, Purged, Purging, recorded

IMAGES: Final = int(os.environ.get("QUEUECTL_IMAGES", "1600"))  # in each test
SECOND: Final = 1.0 + 1e-6
_CHANGES: Final = {Kind.WRITE, Kind.TRUNCATE, Kind.CREATE, Kind.DELETE, Kind.SYNC}


@dataclass
class Judge:
    """Knows what must be there at each position of the log."""

    log: Sequence[Entry]
    full: bool
    schema: Schema
    complaints: list[str] = field(default_factory=list)
    images: int = 0
    _seen: dict[int, tuple[frozenset[Fact], list[str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.acks = [
            (at, entry.at, entry.mark)
            for at, entry in enumerate(self.log)
            if isinstance(entry.mark, Acknowledged)
        ]
        self.purges = [
            (at, entry.mark.jobs)
            for at, entry in enumerate(self.log)
            if isinstance(entry.mark, Purging)
        ]

    def judge(self, position: int, image: Image, path: Path) -> None:
        """Open what a cut before entry `position` left."""
        key = hash(tuple(sorted(image.items())))
        if key not in self._seen:
            put(image, path)
            self.images += 1
            self._seen[key] = look(path, self.schema, use=self.images % 8 == 0)
        facts, wrong = self._seen[key]
        wrong = wrong + self._lost(position, facts) + self._invented(position, facts)
        self.complaints += [f"{position}: {what}" for what in wrong[:3]]

    def _lost(self, position: int, facts: frozenset[Fact]) -> list[str]:
        now = self.log[position].at if position < len(self.log) else self.log[-1].at
        gone = frozenset[int]().union(*(jobs for at, jobs in self.purges if at < position))
        wrong, first_lost = [], None
        for at, moment, ack in self.acks:
            if at >= position:
                break
            lost = missing(facts, ack.facts, gone)
            relaxed = ack.relaxed and not self.full
            if lost and not (relaxed and now - moment <= SECOND):
                wrong.append(f"lost {lost[0]}, acknowledged {now - moment:.2f} s before the cut")
            if lost and first_lost is None:
                first_lost = lost[0]
            elif first_lost and not lost and set(ack.facts) & facts:
                wrong.append(f"{ack.facts[0]} is there, but {first_lost} before it is not")
        return wrong

    def _invented(self, position: int, facts: frozenset[Fact]) -> list[str]:
        """What is there but was never done, up to and with the act that was under way."""
        done: set[Fact] = set()
        for at, _, ack in self.acks:
            done.update(ack.facts)
            if at >= position and ack.facts:
                break
        wrong = [f"{fact} was never done" for fact in sorted(facts - done, key=str)[:1]]
        purged = [entry.mark for entry in self.log[:position] if isinstance(entry.mark, Purged)]
        back = [mark.jobs & jobs_of(facts) for mark in purged]
        return wrong + [f"jobs {jobs} came back" for jobs in back if jobs]


def jobs_of(facts: frozenset[Fact]) -> frozenset[int]:
    """The ids of the jobs that are stored."""
    return frozenset(fact[1] for fact in facts if fact[0] == "job")


def judged(disk: Disk, path: Path, *, full: bool, number: int = IMAGES) -> Judge:
    """Look at what a cut at many positions leaves: at each sync, and at others by chance."""
    judge, platter = Judge(disk.log, full, fresh_schema(path)), Platter(seed=1)
    changes = [at for at, entry in enumerate(disk.log) if entry.kind in _CHANGES]
    near = {at + d for at in changes for d in (0, 1) if disk.log[at].kind is Kind.SYNC}
    others = random.Random(7).sample(changes, min(len(changes), number // 4))
    wanted = near | set(others) | {len(disk.log)}
    each = max(1, number // len(wanted) - 1)
    for position in range(len(disk.log) + 1):
        if position in wanted:
            for image in platter.images(each):
                judge.judge(position, image, path)
        if position < len(disk.log):
            platter.take(disk.log[position])
    return judge


def fresh_schema(path: Path) -> Schema:
    """What a database has that was just made."""
    with closing(SqliteRepository.open(f"{path}-fresh", create=True)) as repo:
        return schema_of(repo)


@pytest.mark.parametrize("durability", ["standard", "full"])
def test_a_power_cut_loses_nothing_that_was_acknowledged(
    ram: Path, durability: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = recorded(str(ram / "queue.db"), durability, monkeypatch)
    judge = judged(disk, ram / "cut.db", full=durability == "full")

    assert judge.complaints == []
    assert judge.images > IMAGES // 2
    assert len(judge.acks) > 60


def no_syncs(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        Connection, "_choose_sync", lambda self: self._raw.execute("PRAGMA synchronous = OFF")
    )


def no_second(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(connection, "_SYNC_EVERY", float("inf"))


def relaxed_people(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        Connection, "_choose_sync", lambda self: self._raw.execute("PRAGMA synchronous = NORMAL")
    )


BAD: Final[dict[str, Callable[[pytest.MonkeyPatch], None]]] = {
    "synchronous=OFF": no_syncs,
    "the first commit after a second is not synced": no_second,
    "people's commits are not synced": relaxed_people,
}


@pytest.mark.parametrize("bad", BAD)
def test_a_program_that_does_not_sync_is_found_out(
    ram: Path, bad: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        BAD[bad](patch)
        disk = recorded(str(ram / "queue.db"), "standard", patch)
    judge = judged(disk, ram / "cut.db", full=False, number=150)

    assert judge.complaints
    undone = ("lost", "came back")
    damaged = [what for what in judge.complaints if not any(word in what for word in undone)]
    assert bool(damaged) == (bad == "synchronous=OFF")


def test_a_quiet_worker_that_does_not_sync_is_found_out(
    ram: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = recorded(str(ram / "queue.db"), "standard", monkeypatch, syncs_when_quiet=False)
    judge = judged(disk, ram / "cut.db", full=False, number=150)

    assert any("lost" in what for what in judge.complaints)


def test_an_error_while_a_crash_is_repaired_spoils_nothing(
    ram: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The compound fault: the disk fails while what a power cut left is opened."""
    disk = recorded(str(ram / "queue.db"), "full", monkeypatch)
    path, schema = ram / "cut.db", fresh_schema(ram / "cut.db")
    failures = 0
    for number, image in enumerate(some_images(disk, 12)):
        put(image, path)
        wanted = look(path, schema)
        assert wanted[1] == []
        for at in range(number % 7, 1_000, 7):
            put(image, path)
            fault = Fault(at, (apsw.IOError, apsw.FullError)[number % 2])
            with in_use(Disk(str(path), recording=False, fault=fault)):
                facts, wrong = look(path, schema)
            if not fault.failed:
                break
            failures += 1
            assert facts == wanted[0] if not wrong else wrong[0].startswith("cannot be opened")
            assert look(path, schema) == wanted
    assert failures > 50


def some_images(disk: Disk, number: int) -> Iterator[Image]:
    """One torn image at each of so many positions, by chance."""
    positions = set(random.Random(3).sample(range(len(disk.log)), number))
    platter = Platter(seed=5)
    for position, entry in enumerate(disk.log):
        if position in positions:
            yield list(platter.images(2))[-1]
        platter.take(entry)


def test_directories_that_are_made_for_a_database_outlive_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, fsync = list[str](), os.fsync

    def noted(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    SqliteRepository.open(str(tmp_path / "a" / "b" / "queue.db"), create=True).close()

    assert synced == [str(tmp_path), str(tmp_path / "a")]
