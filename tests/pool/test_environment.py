"""The environment of a job: the pool's, the adder's few variables, what was asked, its identity."""

from __future__ import annotations

from queuectl_engine.job import Context
from queuectl_engine.pool.environment import Environments
from queuectl_engine.pool.slots import slot_environment
from queuectl_engine.repository.protocol import AttemptId, Claim
from tests.samples import stored

CONTEXT = Context(
    cwd="/srv/app",
    umask=0o027,
    captured={"PATH": "/venv/bin:/bin", "VIRTUAL_ENV": "/venv", "TZ": None, "LC_TIME": "C"},
    env={"MODE": "test", "QUEUECTL_JOB_ID": "forged"},
)
CLAIM = Claim(AttemptId(42, 2, "cafe"), stored(id=42, queue="mail"), CONTEXT)
POOL = {
    "HOME": "/root",
    "PATH": "/pool/bin",
    "TZ": "UTC",
    "LC_ALL": "de_DE",
    "PWD": "/",
    "QUEUECTL_TOKEN": "outer",
    "QUEUECTL_DEBUG": "1",
}


def test_a_job_gets_what_its_adder_had_over_what_the_pool_has() -> None:
    slot = slot_environment(1, (("CUDA_VISIBLE_DEVICES", ("0", "2,3")), ("MODE", ("a", "b"))))
    assert {**Environments("/srv/queue.db", POOL).of(CLAIM), **slot} == {
        "HOME": "/root",
        "PATH": "/venv/bin:/bin",
        "VIRTUAL_ENV": "/venv",
        "LC_TIME": "C",
        "MODE": "b",
        "CUDA_VISIBLE_DEVICES": "2,3",
        "QUEUECTL_SLOT": "1",
        "PWD": "/srv/app",
        "QUEUECTL_DB": "/srv/queue.db",
        "QUEUECTL_JOB_ID": "42",
        "QUEUECTL_ATTEMPT": "2",
        "QUEUECTL_QUEUE": "mail",
        "QUEUECTL_TOKEN": "cafe",
    }


def test_what_was_asked_for_wins_over_what_was_captured() -> None:
    asked = CLAIM._replace(context=CONTEXT._replace(env={"PATH": "/mine", "TZ": "Asia/Tokyo"}))
    found = Environments("/srv/queue.db", POOL).of(asked)
    assert (found["PATH"], found["TZ"]) == ("/mine", "Asia/Tokyo")


def test_surroundings_are_made_anew_for_another_context() -> None:
    environments = Environments("/srv/queue.db", POOL)
    other = CLAIM._replace(context=CLAIM.context._replace(env={"MODE": "other"}))

    first = environments.of(CLAIM)
    second = environments.of(other)

    assert second["MODE"] == "other"
    assert environments.of(CLAIM) == first != second
