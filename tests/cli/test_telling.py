"""`events`, `metrics`, `status --check`: what programs that watch a queue read."""

from __future__ import annotations

import json
import select
import signal
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from queuectl_engine.engine import Engine
from queuectl_engine.job import State
from queuectl_engine.lifecycle import Exited, WorkerDied
from tests.cli.program import Program, Running
from tests.repository.driver import Driver


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_events_are_json_lines_that_say_who_did_what(queuectl: Program, drive: Driver) -> None:
    queuectl("add", "--max-retries", "0", "--key", "k", "exit 3")
    drive.run(Exited(3))
    queuectl("requeue", "k")

    story = lines(queuectl("events").out)
    assert [(each["id"], each["kind"], each["job"]) for each in story] == [
        (1, "added", 1),
        (2, "started", 1),
        (3, "ended", 1),
        (4, "requeued", 1),
    ]
    assert story[0]["user"] == story[3]["user"] != ""
    assert (story[2]["result"], story[2]["exit_code"], story[2]["state"]) == ("failed", 3, "dead")
    assert all(set(each) == set(story[0]) for each in story)
    assert lines(queuectl("events", "--since", "3").out) == story[3:]
    assert queuectl("events", "--since", "4", "--json").out == ""
    queuectl("add", "true")
    assert lines(queuectl("events", "--job", "k").out) == story


def test_follow_tells_from_now_on_or_from_where_it_was(queuectl: Program, drive: Driver) -> None:
    job = drive.add().id

    def something_happens() -> None:
        drive.add()
        drive.repo.pause(["x"], paused=True)  # news that is no event
        drive.repo.cancel([job], user="ada", now=drive.now)
        drive.repo.requeue([job], user="ada", now=drive.now)

    with (
        queuectl.running("events", "--follow") as now,
        queuectl.running("events", "-f", "--since", "0") as before,
        queuectl.running("events", "-f", "--job", str(job)) as one,
    ):
        for each in (now, before, one):  # nobody sees from outside when one begins to listen
            assert each.process.stdout
            while not select.select([each.process.stdout.fileno()], [], [], 0.1)[0]:
                something_happens()
        drive.run(Exited(0))
        heard = {each: _until_the_end(each) for each in (now, before, one)}
        now.process.send_signal(signal.SIGINT)
        assert now.end().code == 130

    for story in heard.values():
        assert story[-2:] == [("started", job), ("ended", job)]
    assert heard[before][0] == ("added", job)
    assert heard[before][-len(heard[now]) :] == heard[now]
    assert ("added", job) not in heard[now] + heard[one]
    assert {number for _, number in heard[one]} == {job}


def _until_the_end(follower: Running) -> list[tuple[str, int]]:
    assert follower.process.stdout
    story: list[tuple[str, int]] = []
    while not story or story[-1][0] != "ended":
        line = json.loads(follower.process.stdout.readline())
        story.append((line["kind"], line["job"]))
    return story


def test_events_refuse_what_cannot_be_meant(queuectl: Program) -> None:
    assert "nothing has the number 7 yet" in queuectl("events", "--since", "7", code=2).err
    queuectl("events", "--since", "-1", code=2)
    queuectl("events", "--job", "9", code=3)


def test_metrics_are_read_by_the_parser_of_prometheus(queuectl: Program, drive: Driver) -> None:
    nasty = 'q"\\x'
    drive.add(queue=nasty, max_retries=1)
    drive.run(Exited(1), nasty)
    drive.later()
    drive.job_in(State.DEAD)
    drive.add()
    drive.lose(drive.claim(), WorkerDied(supervised=True))

    text = queuectl("metrics").out
    families = {
        family.name: family
        for family in text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    }
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert samples["queuectl_jobs", (("queue", nasty), ("state", "failed"))] == 1
    assert samples["queuectl_jobs", (("queue", "default"), ("state", "dead"))] == 1
    assert samples["queuectl_rescues_total", (("queue", "default"),)] == 1
    attempts = "queuectl_attempts_total"
    assert samples[attempts, (("queue", "default"), ("result", "lost"))] == 1
    assert samples[attempts, (("queue", nasty), ("result", "failed"))] == 1
    assert samples["queuectl_oldest_ready_age_seconds", (("queue", "default"),)] > 0
    ran = families["queuectl_run_time_seconds"].samples
    assert [s.value for s in ran if s.labels.get("le") == "+Inf"] == [1, 1]
    assert families["queuectl_run_time_seconds"].type == "histogram"
    assert {"queuectl_pool_up", "queuectl_pool_workers", "queuectl_retries"} < set(families)
    of_default = queuectl("metrics", "--json").json()[0]
    assert (of_default["queue"], of_default["results"]) == ("default", {"failed": 1, "lost": 1})


def test_a_condition_that_holds_is_exit_1_and_one_line(queuectl: Program, drive: Driver) -> None:
    assert queuectl("status", "--check", "dead>0").out == "OK: dead is 0 (dead>0) | dead=0\n"
    drive.job_in(State.DEAD)
    checked = checked_line(queuectl, 1, "dead>0", "pools<1", "dead > 5")
    assert checked == "WARNING: dead is 1 (dead>0), pools is 0 (pools<1) | dead=1 pools=0\n"
    said = checked_line(queuectl, 1, "dead>=1", "--json")
    assert json.loads(said) == {
        "ok": False,
        "checks": [{"check": "dead>=1", "value": 1.0, "holds": True}],
    }


def checked_line(queuectl: Program, code: int, *conditions: str) -> str:
    args = [word for each in conditions for word in (["--check"] * (each[:1] != "-") + [each])]
    with queuectl.running("status", *args) as running:
        result = running.end()
    assert (result.code, result.err) == (code, "")
    return result.out


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("dead=1", True),
        ("dead==1", True),
        ("dead!=1", False),
        ("dead<1", False),
        ("dead<=1", True),
        ("ready>0", True),
        ("pending>0.5", True),
        ("scheduled>0", False),
        ("workers<1", True),
        ("oldest_ready_age>10m", True),  # the driver's noon is long ago
        ("oldest_ready_age>30000d", False),
    ],
)
def test_conditions_compare_as_they_say(
    queuectl: Program, drive: Driver, engine: Engine, condition: str, holds: bool
) -> None:
    drive.job_in(State.DEAD)
    drive.add()
    due = engine.oldest_due()
    assert due
    checked_line(queuectl, int(holds), condition)


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        ("dead", "is no condition"),
        ("", "is no condition"),
        ("deaths>0", "no 'deaths' here"),
        ("dead>many", "'many' is no number"),
        ("dead>nan", "'nan' is no number"),
        ("dead>-1", "no number"),
        ("dead=>1", "'>1' is no number"),
        ("oldest_ready_age>soon", "is no duration"),
        ("dead>0 or 1", "is no condition"),
    ],
)
def test_a_bad_condition_is_exit_2(queuectl: Program, condition: str, why: str) -> None:
    assert why in queuectl("status", "--check", condition, code=2).err
