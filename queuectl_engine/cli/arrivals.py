"""Jobs from elsewhere, before they are ours: what each format's reader yields.

Done work is never run again: what is left out says why. `origin` names a job where it comes from,
so that importing the same file once more adds nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, cast

from queuectl_engine.cli.jsonl import checked_fields, parsed_object
from queuectl_engine.engine import Engine
from queuectl_engine.errors import BadInput
from queuectl_engine.job import DEFAULT_SHELL, Context, JobState, NewJob
from queuectl_engine.new_job import Policy, check_context, checked_secrets

_CONTEXTS: Final = 1_000  # kept at a time
_LONGEST_ORIGIN: Final = 200
_AROUND: Final = frozenset({"cwd", "env", "shell", "secrets"})


@dataclass(frozen=True, slots=True)
class Around:
    """Where a job ran there; None where the format does not say: then as here."""

    cwd: str | None = None
    shell: str | None = None
    umask: int | None = None
    user: str | None = None
    captured: Mapping[str, str | None] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Sequence[str] = ()
    shell_asked: bool = False


@dataclass(frozen=True, slots=True)
class Arrival:
    """One job of a file. `left_out` says why it becomes none of ours."""

    line: int
    command: str | tuple[str, ...] = ""
    policy: Policy = field(default_factory=Policy)
    around: Around = field(default_factory=Around)
    origin: str = ""
    left_out: str | None = None


def own(lines: Iterable[tuple[int, str]], engine: Engine, *, failed: bool) -> Iterator[Arrival]:
    """Lines that `export` wrote, one at a time. Raises BadInput that names the line."""
    here = engine.identity()
    for number, line in lines:
        try:
            arrival = _own(number, parsed_object(line), failed=failed)
        except BadInput as error:
            raise BadInput(f"line {number}: {error}") from error
        if arrival.left_out is None and _is_here(engine, arrival.origin, here):
            arrival = replace(arrival, left_out="in this database already")
        yield arrival


def _own(number: int, value: dict[str, Any], *, failed: bool) -> Arrival:
    origin, state = value.get("origin"), value.get("state")
    if not (isinstance(origin, str) and isinstance(state, str) and state in set(JobState)):
        raise BadInput("not a line of 'queuectl export'; for jobs of your own take 'add --jsonl'")
    if why := _why_not(JobState(state), failed):
        return Arrival(number, left_out=why)
    if value.get("waits_for"):  # here it would wait for nothing, and run too early
        return Arrival(number, left_out="it waits for other jobs there")
    given = {name: each for name, each in value.items() if each is not None}
    fields = checked_fields(given, strict=False)
    line = fields.pop("command", "")
    command = fields.pop("argv", None) or line
    run_at = fields.pop("run_at", None)
    if run_at is not None and run_at > datetime.now(UTC):
        fields["run_at"] = run_at
    around = _around(value, {name: fields.pop(name) for name in _AROUND if name in fields})
    return Arrival(number, command, cast(Policy, fields), around, origin)


def _why_not(state: JobState, failed: bool) -> str | None:
    match state:
        case JobState.PENDING | JobState.FAILED:
            return None
        case JobState.DEAD:
            return None if failed else "dead there (--failed takes them)"
        case JobState.PROCESSING:
            return "running there"
        case JobState.COMPLETED | JobState.CANCELLED:
            return f"{state} there"


def _around(value: Mapping[str, Any], known: Mapping[str, Any]) -> Around:
    umask, user, captured = value.get("umask"), value.get("user"), value.get("captured")
    try:
        mask = None if umask is None else int(umask, 8)
    except (TypeError, ValueError):
        raise BadInput("'umask' must be text like '0022'") from None
    if captured is not None and not (
        isinstance(captured, dict)
        and all(each is None or isinstance(each, str) for each in captured.values())
    ):
        raise BadInput("'captured' must be an object of strings and nulls")
    if not isinstance(user, str | None):
        raise BadInput("'user' must be a string")
    asked = value.get("shell_asked") is True
    return Around(umask=mask, user=user, captured=captured, shell_asked=asked, **known)


def _is_here(engine: Engine, origin: str, here: str) -> bool:
    """Whether the line came from this very database, which has its job still."""
    database, _, rest = origin.partition(":")
    number, _, _ = rest.partition(":")
    if database != here or not number.isdecimal() or len(number) > 18:
        return False
    job = engine.find([int(number)]).get(int(number))
    return job is not None and origin == origin_of(here, job.id, job.created_at)


def origin_of(database: str, job: int, created_at: datetime) -> str:
    """The name of a job over all databases: ids come again after a restore, moments do not."""
    return f"{database}:{job}:{created_at.timestamp():.3f}"


class Builder:
    """Makes our jobs of arrivals; those that share their surroundings share one context."""

    def __init__(self, engine: Engine, *, over: Policy, cwd: str | None, unit: str) -> None:
        """`over` and `cwd` win over what arrivals say. `unit` names one of them in errors."""
        self._engine = engine
        self._over = over
        self._cwd = cwd
        self.unit = unit
        self._here = engine.context(cwd=cwd)
        self._contexts: dict[str, Context] = {}

    def job(self, arrival: Arrival) -> NewJob:
        """Checked as by `add`. Raises BadInput that names the line."""
        policy = cast(Policy, {**arrival.policy, **self._over})
        try:
            if len(arrival.origin) > _LONGEST_ORIGIN or not arrival.origin.isprintable():
                raise BadInput("where it comes from cannot be told from it")
            job = self._engine.new_job(arrival.command, self._context(arrival.around), **policy)
        except BadInput as error:
            raise BadInput(f"{self.unit} {arrival.line}: {error}") from error
        return job._replace(origin=arrival.origin)

    def _context(self, around: Around) -> Context:
        # Not checked: the directory may be on a disk that is not mounted yet.
        here = self._here
        captured = here.captured if around.captured is None else around.captured
        name = json.dumps(
            [
                around.cwd,
                around.shell,
                around.shell_asked,
                around.umask,
                around.user,
                captured,
                around.env,
                around.secrets,
            ]
        )
        if name not in self._contexts:
            if len(self._contexts) >= _CONTEXTS:
                self._contexts.clear()
            context = Context(
                cwd=here.cwd if self._cwd or not around.cwd else around.cwd,
                umask=here.umask if around.umask is None else around.umask,
                shell=around.shell or DEFAULT_SHELL,
                user=around.user or here.user,
                captured=captured,
                env=dict(around.env),
                secrets=checked_secrets(around.secrets, around.env),
                shell_asked=around.shell_asked,
            )
            check_context(context)
            self._contexts[name] = context
        return self._contexts[name]
