"""Schedules: each time is met once, whoever meets it and whenever. Time is passed in."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Unpack

import pytest

from queuectl_engine.errors import KeyTaken, NoSuchSchedule, WrongState
from queuectl_engine.filter import parse_filter
from queuectl_engine.job import Job, State, View
from queuectl_engine.lifecycle import Exited
from queuectl_engine.pool.firing import fire_due
from queuectl_engine.repository.protocol import JobRepository
from queuectl_engine.schedule import Missed, Recurrence, Schedule, new_schedule
from tests.repository.driver import Driver, OpenRepo
from tests.samples import CONTEXT, HOUR, MINUTE, NOON, SECOND, new

DAY = timedelta(days=1)
QUIET = "0 * * * *"


def silent(event: str, **fields: object) -> None:
    """A pool's log that nobody reads."""


class Clock:
    """A repository with schedules, and the supervisor that looks at them."""

    def __init__(self, repo: JobRepository, drive: Driver) -> None:
        self.repo = repo
        self.drive = drive

    def add(
        self, expression: str = QUIET, command: str = "true", **how: Unpack[Recurrence]
    ) -> Schedule:
        how.setdefault("zone", "UTC")
        made = new_schedule(expression, new(command), now=self.drive.now, **how)
        number, _ = self.repo.add_schedule(made, now=self.drive.now)
        return self.repo.schedule(number)

    def at(self, moment: timedelta) -> list[Job]:
        """Look so long after noon; the jobs there are, by id."""
        self.drive.now = NOON + moment
        fire_due(self.repo, self.drive.now, silent)
        return list(self.repo.page(View.ALL, limit=100).jobs)

    def finish(self) -> None:
        """Run all that is ready."""
        while claims := self.drive.turn(room=1).claims:
            self.drive.end(claims[0], Exited(0))


@pytest.fixture
def clock(repo: JobRepository, drive: Driver) -> Clock:
    return Clock(repo, drive)


def test_a_schedule_is_kept_as_it_was_asked_for(clock: Clock) -> None:
    job = new(["make", "a b"], queue="mail", priority=7, timeout=90, max_retries=1)
    made = new_schedule(
        "0  3 * * *", job, now=NOON, zone="Europe/Berlin", name="nightly", missed="skip"
    )

    number, created = clock.repo.add_schedule(made, now=NOON)

    found = clock.repo.schedule("nightly")
    assert created
    assert (found.id, found.name, found.expression) == (number, "nightly", "0 3 * * *")
    assert found.job == job._replace(schedule=number)
    assert found.job.context == CONTEXT
    assert (found.zone, found.missed, found.overlap) == ("Europe/Berlin", Missed.SKIP, False)
    assert found.next_at == NOON + 14 * HOUR
    assert clock.repo.schedules() == [found]
    assert clock.repo.next_firing() == found.next_at


def test_its_job_is_added_when_its_time_comes_and_not_before(clock: Clock) -> None:
    schedule = clock.add(command="make")

    assert clock.at(HOUR - SECOND / 1000) == []
    (job,) = clock.at(HOUR)

    assert (job.command, job.stored, job.schedule_id) == ("make", State.READY, schedule.id)
    assert (job.run_at, job.created_at) == (NOON + HOUR, NOON + HOUR)
    assert clock.at(HOUR) == [job]
    after = clock.repo.schedule(schedule.id)
    assert (after.next_at, after.last_at) == (NOON + 2 * HOUR, NOON + HOUR)
    assert (after.last_job, after.last_result) == (job.id, "added")
    (added,) = clock.repo.events(job.id)
    assert (added.user, added.detail) == ("ada", f"schedule {schedule.id}")


def test_each_time_is_met_once_by_many_who_looked_at_the_same_moment(
    clock: Clock, open_repo: OpenRepo
) -> None:
    schedule = clock.add(overlap=True)
    others = [open_repo() for _ in range(4)]
    seen = [other.due_schedules(now=NOON + HOUR)[0] for other in others]
    assert seen == [schedule] * 4
    barrier = threading.Barrier(4)
    fired: list[object] = []

    def meet(repo: JobRepository, schedule: Schedule) -> None:
        barrier.wait()
        fired.append(repo.fire(schedule, NOON + 2 * HOUR, now=NOON + HOUR))

    threads = [threading.Thread(target=meet, args=both) for both in zip(others, seen, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(fired) - fired.count(None) == 1
    assert len(clock.repo.page(View.ALL, limit=9).jobs) == 1


def test_what_was_paused_or_deleted_meanwhile_is_not_met(clock: Clock) -> None:
    seen = clock.add()
    clock.repo.pause_schedule(seen.id, then=None)
    assert clock.repo.fire(seen, NOON + DAY, now=NOON + HOUR) is None

    clock.repo.pause_schedule(seen.id, then=NOON + 5 * HOUR)
    assert clock.repo.fire(seen, NOON + DAY, now=NOON + HOUR) is None

    clock.repo.delete_schedule(seen.id)
    assert clock.repo.fire(seen, NOON + DAY, now=NOON + HOUR) is None
    assert clock.at(DAY) == []


def test_times_that_were_missed_are_met_once_together(clock: Clock) -> None:
    schedule = clock.add(overlap=True)

    (job,) = clock.at(10 * HOUR + MINUTE)

    assert job.run_at == NOON + HOUR
    assert clock.repo.schedule(schedule.id).next_at == NOON + 11 * HOUR


def test_missed_times_can_be_skipped(clock: Clock) -> None:
    schedule = clock.add(missed=Missed.SKIP)

    assert clock.at(10 * HOUR + 2 * MINUTE) == []
    skipped = clock.repo.schedule(schedule.id)
    assert skipped.last_result == "skipped: missed by 542 min"
    assert (skipped.skipped, skipped.next_at) == (1, NOON + 11 * HOUR)
    assert len(clock.at(11 * HOUR + MINUTE)) == 1  # a minute late is not missed
    assert clock.repo.schedule(schedule.id).skipped == 0


@pytest.mark.parametrize("state", [State.READY, State.PROCESSING, State.FAILED])
def test_a_time_is_passed_over_while_the_last_job_has_not_ended(clock: Clock, state: State) -> None:
    schedule = clock.add()
    (first,) = clock.at(HOUR)
    if state is not State.READY:
        claim = clock.drive.claim()
        if state is State.FAILED:
            clock.drive.end(claim, Exited(1))

    assert len(clock.at(2 * HOUR)) == 1

    passed = clock.repo.schedule(schedule.id)
    outward = clock.drive.get(first).state
    assert passed.last_result == f"skipped: job {first.id} is {outward}"
    assert (passed.last_job, passed.last_state, passed.skipped) == (first.id, outward, 1)
    assert passed.next_at == NOON + 3 * HOUR


@pytest.mark.parametrize("state", [State.COMPLETED, State.CANCELLED, State.DELETED])
def test_it_goes_on_once_the_last_job_has_ended(clock: Clock, state: State) -> None:
    clock.add()
    (first,) = clock.at(HOUR)
    if state is State.COMPLETED:
        clock.finish()
    elif state is State.CANCELLED:
        clock.drive.cancel(first)
    else:
        clock.drive.delete(first)

    jobs = clock.at(2 * HOUR)

    assert max(job.id for job in jobs) == first.id + 1


def test_overlap_can_be_allowed(clock: Clock) -> None:
    clock.add(overlap=True)
    clock.at(HOUR)

    assert len(clock.at(2 * HOUR)) == 2


def test_a_clock_that_was_set_back_meets_no_time_again(clock: Clock) -> None:
    clock.add(overlap=True)
    assert len(clock.at(5 * HOUR)) == 1

    for back in (HOUR, 4 * HOUR + 59 * MINUTE, 5 * HOUR, 5 * HOUR + 59 * MINUTE):
        assert len(clock.at(back)) == 1
    assert len(clock.at(6 * HOUR)) == 2


def test_what_passes_during_a_pause_is_not_missed(clock: Clock) -> None:
    schedule = clock.add()
    clock.repo.pause_schedule(schedule.id, then=None)
    paused = clock.repo.schedule(schedule.id)
    assert (paused.paused, paused.next_at, clock.repo.next_firing()) == (True, None, None)

    assert clock.at(10 * HOUR) == []
    clock.repo.pause_schedule(schedule.id, then=NOON + 11 * HOUR)

    assert clock.at(10 * HOUR) == []
    assert len(clock.at(11 * HOUR)) == 1


def test_it_can_be_run_by_hand_also_while_paused(clock: Clock) -> None:
    schedule = clock.add()
    clock.repo.pause_schedule(schedule.id, then=None)

    job = clock.repo.run_schedule(schedule, now=NOON)

    after = clock.repo.schedule(schedule.id)
    assert (after.last_job, after.last_result, after.last_at) == (job, "added by hand", None)
    with pytest.raises(WrongState, match=f"job {job} is pending"):
        clock.repo.run_schedule(schedule, now=NOON)
    clock.finish()
    assert clock.repo.run_schedule(schedule, now=NOON) == job + 1


def test_its_time_waits_for_the_job_that_was_run_by_hand(clock: Clock) -> None:
    schedule = clock.add()
    job = clock.repo.run_schedule(schedule, now=NOON)

    assert [each.id for each in clock.at(HOUR)] == [job]


def test_a_name_is_stored_once(clock: Clock) -> None:
    first = clock.add(name="nightly")
    again = new_schedule(QUIET, new("true"), now=NOON, zone="UTC", name="nightly")
    assert clock.repo.add_schedule(again, now=NOON) == (first.id, False)

    other = new_schedule("@daily", new("true"), now=NOON, zone="UTC", name="nightly")
    with pytest.raises(KeyTaken):
        clock.repo.add_schedule(other, now=NOON)
    clock.repo.delete_schedule(first.id)
    number, created = clock.repo.add_schedule(other, now=NOON)
    assert (number, created) == (first.id + 1, True)


@pytest.mark.parametrize("name", ["nope", 0, -1, 7, 2**70, "9" * 30, ""])
def test_an_unknown_one_is_told(clock: Clock, name: int | str) -> None:
    with pytest.raises(NoSuchSchedule):
        clock.repo.schedule(name)


def test_a_job_that_cannot_be_added_is_skipped_and_the_reason_told(clock: Clock) -> None:
    clock.drive.add("make other", key="k")
    made = new_schedule(QUIET, new("true"), now=NOON, zone="UTC")
    clock.repo.add_schedule(replace(made, job=new("true", key="k")), now=NOON)

    assert len(clock.at(HOUR)) == 1

    (skipped,) = clock.repo.schedules()
    assert skipped.last_result is not None
    assert skipped.last_result.startswith("skipped: key k belongs to job 1")
    assert (skipped.next_at, skipped.skipped) == (NOON + 2 * HOUR, 1)


@pytest.mark.parametrize("text", ["schedule:1", "schedule:nightly", "!schedule:other schedule:1"])
def test_its_jobs_can_be_searched_for(clock: Clock, text: str) -> None:
    clock.add(name="nightly", overlap=True)
    clock.drive.add()
    clock.add(name="other")
    clock.at(HOUR)
    (first, _) = (job for job in clock.at(HOUR) if job.schedule_id)
    wanted = parse_filter(text, now=NOON)

    found = clock.repo.scan(View.PENDING, wanted, limit=9, budget=99).found

    assert [job for _, job in found] == [first.id]
    clock.repo.delete_schedule(1)
    again = clock.repo.scan(View.PENDING, parse_filter("schedule:1", now=NOON), limit=9, budget=99)
    assert again.found == found


def test_a_zone_that_is_gone_ends_a_schedule_and_says_so(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = clock.add(zone="Europe/Berlin")
    monkeypatch.setattr("zoneinfo.ZoneInfo", lambda name: (_ for _ in ()).throw(ValueError(name)))

    assert len(clock.at(HOUR)) == 1

    stopped = clock.repo.schedule(schedule.id)
    assert stopped.next_at is None
    assert stopped.last_result is not None
    assert stopped.last_result.startswith("added; it stops here: no time zone 'Europe/Berlin'")


def test_schedules_that_are_not_due_cost_nothing(clock: Clock) -> None:
    schedules = [clock.add(f"{n} 13 * * *") for n in range(60)]

    assert clock.repo.next_firing() == NOON + HOUR
    assert clock.repo.due_schedules(now=NOON + HOUR) == schedules[:1]
    assert [s.id for s in clock.repo.due_schedules(now=NOON + HOUR + MINUTE)] == [1, 2]
