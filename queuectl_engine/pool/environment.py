"""What a job finds around it: the environment it runs in, made from the pool's and the adder's."""

from __future__ import annotations

from collections.abc import Mapping

from queuectl_engine.job import Context
from queuectl_engine.pool.processes import TOKEN_VARIABLE
from queuectl_engine.repository.protocol import Claim
from queuectl_engine.secret import Secrets
from queuectl_engine.settings import is_url, load_settings


class Environments:
    """Makes the environments of a worker's jobs. Those of a bulk add share their surroundings."""

    def __init__(self, db: str, pool: Mapping[str, str]) -> None:
        """`pool` is the environment of the pool itself, as it was when it started."""
        self._db = db
        self._pool = pool
        self._last: tuple[Context, dict[str, str]] | None = None

    def of(self, claim: Claim) -> dict[str, str]:
        """What a job gets but for its slot. Raises QueuectlError for a secret not to be had."""
        if self._last is None or self._last[0] is not claim.context:
            self._last = (
                claim.context,
                surroundings(claim.context, without_password(self._db, self._pool)),
            )
        around = self._last[1]
        if claim.context.secrets:  # read when they are needed and forgotten at once
            self._last = None
        return environment(claim, self._db, around)


def environment(claim: Claim, db: str, around: Mapping[str, str]) -> dict[str, str]:
    """What surrounds a job, and over it the job's own identity, which nothing can override."""
    return {
        **around,
        "QUEUECTL_DB": db,
        "QUEUECTL_JOB_ID": str(claim.job.id),
        "QUEUECTL_ATTEMPT": str(claim.attempt.number),
        "QUEUECTL_QUEUE": claim.job.queue,
        TOKEN_VARIABLE: claim.attempt.token,
    }


def without_password(db: str, pool: Mapping[str, str]) -> Mapping[str, str]:
    """A job must not get the pool's way into a server by accident."""
    if not is_url(db):
        return pool
    return {name: value for name, value in pool.items() if name != "PGPASSWORD"}


def surroundings(context: Context, pool: Mapping[str, str]) -> dict[str, str]:
    """The pool's environment without our own variables; over it what the adding process had.

    What was absent there is unset; then what `--env` and `--secret` asked for. Raises QueuectlError
    for a secret that cannot be had.
    """
    ours = ("QUEUECTL_", "LC_")  # LC_* is taken along as a family: those absent there are unset
    env = {name: value for name, value in pool.items() if not name.startswith(ours)}
    for name, value in context.captured.items():
        if value is None:
            env.pop(name, None)
        else:
            env[name] = value
    return {**env, **context.env, **_secrets(context), "PWD": context.cwd}


def _secrets(context: Context) -> dict[str, str]:
    if not context.secrets:
        return {}
    stored = Secrets(load_settings().secrets)
    return {name: stored.value(name) for name in context.secrets}
