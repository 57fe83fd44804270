"""Makes the golden file of the program's present schema: `python -m tests.durability.golden.make`.

Run it once, by the last program that knew no later schema, and never again: what it made is kept as
`schema-N.db.gz`, and every later program must open it. A few jobs in every state there is, with
attempts, output, events and all that hangs on them.
"""

from __future__ import annotations

import gzip
import sys
import tempfile
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Final

import apsw

from queuectl_engine.cause import Signature
from queuectl_engine.hook import HookEvent, new_hook
from queuectl_engine.job import State
from queuectl_engine.lifecycle import Exited, Signalled
from queuectl_engine.repository import open_repository
from queuectl_engine.schedule import new_schedule
from tests.repository.driver import Driver, output_of
from tests.samples import CONTEXT, HOUR, new

HERE: Final = Path(__file__).parent


def make(path: Path) -> None:
    """Fill a new database at `path`, and leave it in one file."""
    with closing(open_repository(str(path), create=True)) as repo:
        drive = Driver(repo)
        repo.set_hook(new_hook("web", HookEvent.ON_DEAD, "page ada", CONTEXT))
        history(drive)
        every_state(drive)
        surroundings(drive)
        repo.maintain(now=drive.now)
        half_done(drive)
    with closing(apsw.Connection(str(path))) as db:
        db.execute("UPDATE meta SET made_by = 'ada', owner = 1000, machine = ''").fetchall()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def history(drive: Driver) -> None:
    """One job with a long life, one whose cause is known, one whose worker was lost."""
    job = drive.add("make all", key="all", max_retries=1, labels=["nightly", "big"])
    for number in range(2):
        claim = drive.claim()
        drive.say(claim, f"attempt {number}\n", "more\n")
        drive.end(claim, Exited(2))
        drive.later(timedelta(minutes=5))
    drive.requeue(job)
    claim = drive.claim()
    ended = drive.ended(claim, Exited(0), output_of("done\n"))
    drive.turn(ended)
    drive.turn(ended)  # late: the job has moved on

    drive.add("curl x", max_retries=0, queue="web", labels=["web"])
    claim = drive.claim()
    signature = Signature("curl", "exit 7", "cannot connect")
    ended = drive.ended(claim, Exited(7), output_of("cannot connect\n"))
    drive.turn(ended._replace(signature=signature))
    drive.add("eat memory", max_retries=0)
    drive.end(drive.claim(), Signalled(9))


def every_state(drive: Driver) -> None:
    """A job in each stored state, and jobs that wait for others and for a mutex."""
    for state in State:
        if state is not State.READY:
            drive.job_in(state)
    drive.add("migrate", mutex="db", queue="a")
    drive.claim("a")
    drive.add("migrate again", mutex="db", queue="b", priority=7)
    drive.turn(room=1, queues=["b"])  # set aside
    parent = drive.add("first", priority=3, queue="web")
    drive.add("second", after_ok=[parent.id], after_any=["all"])
    drive.add(["printf", "%s", "ünï"], run_at=drive.now + HOUR, retry_on=[75], timeout=60.0)
    drive.add("ready", on_dead="mail ada", on_completed="true")


def surroundings(drive: Driver) -> None:
    """Limits, pauses, hooks, a schedule that fired, an imported job."""
    repo = drive.repo
    repo.limit(None, 10)
    repo.limit(["web"], 2)
    repo.pause(["later"], paused=True)
    schedules(drive)
    drive.repo.add([new("came from elsewhere")._replace(origin="tsp:3:ab12")], now=drive.now)


def half_done(drive: Driver) -> None:
    """What a transaction leaves for the next one: dependants to be told, a mutex to give."""
    drive.add("will be retried", queue="flaky")
    drive.run(Exited(1), "flaky")
    parent = drive.add("ends now", priority=99, mutex="door")
    drive.add("is to be told", after_ok=[parent.id])
    claim = drive.claim()
    drive.add("stands aside", mutex="door", priority=50)
    drive.turn(room=1)
    drive.lose(claim, Exited(0))
    drive.job_in(State.DELETED, queue="gone")


def schedules(drive: Driver) -> None:
    """One that fired and is paused, one that will fire again."""
    for name in ("nightly", "hourly"):
        wanted = new_schedule(
            "0 * * * *", new("backup", queue=name), now=drive.now, zone="Europe/Berlin", name=name
        )
        number, _ = drive.repo.add_schedule(wanted, now=drive.now)
        drive.later(HOUR)
        found = drive.repo.schedule(number)
        drive.repo.fire(found, drive.now + HOUR, now=drive.now)
    drive.repo.pause_schedule(drive.repo.schedule("nightly").id, then=None)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "queue.db"
        make(file)
        with closing(apsw.Connection(str(file))) as made:
            version = made.pragma("user_version")
        packed = gzip.compress(file.read_bytes(), mtime=0)
    (HERE / f"schema-{version}.db.gz").write_bytes(packed)
    sys.stdout.write(f"schema-{version}.db.gz: {len(packed)} bytes\n")
