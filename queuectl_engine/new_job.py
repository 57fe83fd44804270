"""From what a person asked to a `NewJob`: every field checked, the surroundings captured.

One place for the limits, whether a job comes from the command line, a screen, a file or Python.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice
from types import UnionType
from typing import TYPE_CHECKING, Final, TypedDict, Unpack, cast

from queuectl_engine.errors import BadInput
from queuectl_engine.exit_codes import checked_exit_codes, exit_codes_text, parse_exit_codes
from queuectl_engine.intake import (
    DEFAULT_QUEUE,
    DEFAULT_RETRIES,
    DEFAULT_SHELL,
    Context,
    NewJob,
)
from queuectl_engine.safe_text import safe_text
from queuectl_engine.secret import MOST as MOST_SECRETS
from queuectl_engine.secret import check_secret
from queuectl_engine.states import After

if TYPE_CHECKING:
    from queuectl_engine.job import Job

# The environment that a job takes along from where it was added; names ending in * are prefixes.
CAPTURED: Final = (
    "PATH", "VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "PYTHONPATH",
    "LD_LIBRARY_PATH", "LANG", "LC_*", "TZ",
)  # fmt: skip
LONGEST_COMMAND: Final = 128 * 1024 - 1  # MAX_ARG_STRLEN of Linux, execve(2), with its NUL
MOST_RETRIES: Final = 1_000_000
MOST_LABELS: Final = 20  # of one job
_LONGEST_PATH: Final = 4096  # PATH_MAX of Linux
_LONGEST_USER: Final = 256  # LOGIN_NAME_MAX of Linux
_INT64: Final = 2**63 - 1
_LONGEST_WAIT: Final = timedelta(days=36525)
_CODES: Final = "a list of exit codes, or text such as 64-78,124"
_TYPES: Final[Mapping[str, tuple[type | UnionType, str]]] = {
    "queue": (str, "text"),
    "priority": (int, "a whole number"),
    "max_retries": (int, "a whole number"),
    "run_at": (datetime | None, "a datetime"),
    "timeout": (timedelta | float | int | None, "a number of seconds"),
    "key": (str | None, "text"),
    "allow_background": (bool, "true or false"),
    "log_file": (str | None, "text"),
    "labels": (tuple | list, "a list of texts"),
    "retry_on": (str | tuple | list, _CODES),
    "no_retry_on": (str | tuple | list, _CODES),
    "on_dead": (str | None, "text"),
    "on_completed": (str | None, "text"),
    "after_ok": (list | tuple, "a list of ids or keys"),
    "after_any": (list | tuple, "a list of ids or keys"),
    "after_fail": (list | tuple, "a list of ids or keys"),
    "mutex": (str | None, "text"),
}
_QUEUE_NAME: Final = r"[^\s\x00-\x1f\x7f-\x9f]{1,100}"


class Policy(TypedDict, total=False):
    """How a job is queued and run; every field has a default.

    `timeout` is in seconds or a timedelta, None for none. `key` is unique over all stored jobs.
    `allow_background` spares what the command leaves running when it ends. `log_file` gets all
    that it prints, whatever the limit of what is stored; a relative path starts where the job runs.
    `labels` are names to find it by, among others. With `retry_on` only these exit codes are
    retried, those of `no_retry_on` never: numbers, or text such as "64-78,124"; empty for no rule.
    `on_dead` and `on_completed` are lines for the shell that a pool runs when it has ended so.
    `after_ok`, `after_any` and `after_fail` are ids or keys of jobs that must have completed, ended
    in any way, or died before it may run. Of all jobs with the same `mutex`, one runs at a time.
    """

    queue: str
    priority: int
    max_retries: int
    run_at: datetime | None
    timeout: timedelta | float | None
    key: str | None
    allow_background: bool
    log_file: str | None
    labels: Sequence[str]
    retry_on: str | Sequence[int]
    no_retry_on: str | Sequence[int]
    on_dead: str | None
    on_completed: str | None
    after_ok: Sequence[int | str]
    after_any: Sequence[int | str]
    after_fail: Sequence[int | str]
    mutex: str | None


class Surroundings(TypedDict, total=False):
    """Where a job runs, when not as here: directory, further variables, shell, names of secrets."""

    cwd: str | None
    env: Mapping[str, str] | None
    shell: str | None
    secrets: Sequence[str] | None


def new_job(command: str | Sequence[str], context: Context, **policy: Unpack[Policy]) -> NewJob:
    """Check every field and put them together.

    A string is a line for the context's shell, a sequence an argv that runs without one. Raises
    BadInput with what is wrong, why, and what to try.
    """
    argv = None if isinstance(command, str) else _checked_argv(command)
    line = command if isinstance(command, str) else _quoted(command)
    _check_command(line, argv)
    _check_types(policy)
    timeout, log_file = policy.get("timeout"), policy.get("log_file")
    job = NewJob(
        command=line,
        context=context,
        argv=argv,
        queue=policy.get("queue", DEFAULT_QUEUE),
        priority=policy.get("priority", 0),
        max_retries=policy.get("max_retries", DEFAULT_RETRIES),
        run_at=policy.get("run_at"),
        timeout=None if timeout is None else _checked_timeout(timeout),
        key=policy.get("key"),
        allow_background=policy.get("allow_background", False),
        log_file=None if log_file is None else _checked_path(log_file, context.cwd),
        labels=checked_labels(policy.get("labels", ())),
        retry_on=_checked_codes(policy.get("retry_on", ())),
        no_retry_on=_checked_codes(policy.get("no_retry_on", ())),
        on_dead=_checked_hook(policy.get("on_dead")),
        on_completed=_checked_hook(policy.get("on_completed")),
        after=_checked_after(policy),
        mutex=policy.get("mutex"),
    )
    _check_rules(job.retry_on, job.no_retry_on)
    check_queue(job.queue)
    if not -_INT64 <= job.priority <= _INT64:
        raise BadInput(f"priority {job.priority} does not fit into 64 bits")
    if not 0 <= job.max_retries <= MOST_RETRIES:
        raise BadInput(f"{job.max_retries} retries: use a number from 0 to {MOST_RETRIES}")
    if job.run_at is not None:
        check_moment(job.run_at)
    if job.key is not None:
        check_key(job.key)
    if job.mutex is not None:
        check_mutex(job.mutex)
    return job


class Changes(Policy, total=False):
    """What `edit` may change of a job: any of its policy, and its command."""

    command: str | Sequence[str]


def edited(job: "Job", context: Context, changes: Changes) -> NewJob:
    """The job as it would be added now, with these changes. Raises BadInput."""
    policy = Policy(
        queue=job.queue,
        priority=job.priority,
        max_retries=job.max_retries,
        timeout=job.timeout,
        key=job.key,
        allow_background=job.allow_background,
        log_file=job.log_file,
        labels=job.labels,
        retry_on=job.retry_on,
        no_retry_on=job.no_retry_on,
        on_dead=job.on_dead,
        on_completed=job.on_completed,
        mutex=job.mutex,
    )
    command = changes.get("command", job.argv or job.command)
    asked = {name: value for name, value in changes.items() if name != "command"}
    return new_job(command, context, **cast(Policy, {**policy, **asked}))


def check_moment(run_at: datetime) -> None:
    """Raise BadInput unless it is an aware datetime that can be written in UTC."""
    if run_at.tzinfo is None:
        raise BadInput("run_at has no time zone; use an aware datetime")
    try:
        run_at.astimezone(UTC)
    except OverflowError:
        raise BadInput("run_at lies outside the calendar; it ends with the year 9999") from None


def check_queue(name: str) -> None:
    """Raise BadInput unless `name` can name a queue: 1 to 100 characters without white space."""
    if name == DEFAULT_QUEUE:  # most of the time
        return
    if not re.fullmatch(_QUEUE_NAME, name) or not _encodable(name):
        raise BadInput(
            f"queue name '{safe_text(name[:40])}' must be 1 to 100 characters without spaces"
        )


def check_key(key: str) -> None:
    """Raise BadInput unless `key` can be told from an id and fits on a line."""
    if not 1 <= len(key) <= 200 or not key.isprintable() or not _encodable(key):
        raise BadInput("a key must be 1 to 200 printable characters")
    if key.isdigit():
        raise BadInput(f"key {key} looks like an id; add a letter to it")


def checked_labels(labels: Sequence[object]) -> tuple[str, ...]:
    """Each label once, in the order given. Raises BadInput for one that could not be asked for."""
    for label in labels:
        if not isinstance(label, str) or not _is_label(label):
            raise BadInput(
                f"label '{safe_text(str(label)[:40])}' must be 1 to 100 printable characters "
                "without commas and quotes"
            )
    distinct = tuple(dict.fromkeys(str(label) for label in labels))
    if len(distinct) > MOST_LABELS:
        raise BadInput(f"{len(distinct)} labels; a job has {MOST_LABELS} at most")
    return distinct


def separated(text: str) -> list[str]:
    """Labels as people write them on one line, with commas between them."""
    return [part.strip() for part in text.split(",") if part.strip()]


def _is_label(text: str) -> bool:
    fits = 1 <= len(text) <= 100 and text == text.strip() and text.isprintable()
    return fits and not set(text) & {",", '"'} and _encodable(text)


def check_mutex(name: str) -> None:
    """Raise BadInput unless `name` can name a mutex: the same as for a queue."""
    if not re.fullmatch(_QUEUE_NAME, name) or not _encodable(name):
        raise BadInput(f"mutex '{safe_text(name[:40])}' must be 1 to 100 characters without spaces")


def check_limit(max_running: object) -> None:
    """Raise BadInput unless so many jobs can be allowed to run at a time; None is any number."""
    if max_running is None:
        return
    if not isinstance(max_running, int) or isinstance(max_running, bool):
        raise BadInput("a limit must be a whole number, or None")
    if not 1 <= max_running <= _INT64:
        raise BadInput(f"a limit of {max_running} jobs would let none run; 'pause' does that")


def weight(job: NewJob) -> int:
    """How many rows it takes to store a job."""
    return 1 + sum(map(len, job.after.values()))


def in_portions(jobs: Iterable[NewJob], most: int) -> Iterator[list[NewJob]]:
    """As many jobs as one transaction may add; what they wait for counts as well."""
    portion: list[NewJob] = []
    size = 0
    for job in jobs:
        size += weight(job)
        if portion and size > most:
            yield portion
            portion, size = [], weight(job)
        portion.append(job)
    if portion:
        yield portion


def alike_in_portions(
    lines: Iterable[str], most: int, context: Context, **policy: Unpack[Policy]
) -> Iterator[tuple[NewJob, list[str]]]:
    """Jobs for lines of shell that differ in nothing else: the first, and the lines of the others.

    As many as one transaction may add. Raises BadInput.
    """
    if policy.get("key") is not None:
        raise BadInput("a key names one job, and these may be many; add them without")
    left = iter(lines)
    for line in left:
        first = new_job(line, context, **policy)
        if first.argv is not None:
            raise _no_line()
        rest = list(islice(left, max(most // weight(first), 1) - 1))
        check_lines(rest)
        yield first, rest


def capture_context(
    *,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    shell: str = DEFAULT_SHELL,
    secrets: Sequence[str] = (),
    shell_asked: bool = False,
    also: Sequence[str] = (),
    around: Mapping[str, str] = os.environ,
) -> Context:
    """What a job added from here will see. Raises BadInput for a directory that is none.

    Never more of the environment than the named variables: it may hold secrets.
    """
    context = Context(
        cwd=_directory(cwd),
        umask=_umask(),
        shell=shell,
        user=user_name(),
        captured=_captured(around, (*CAPTURED, *also)),
        env=dict(env or {}),
        secrets=checked_secrets(secrets, env or {}),
        shell_asked=shell_asked,
    )
    check_context(context)
    return context


def check_context(context: Context) -> None:
    """Raise BadInput for surroundings in which no program could be started.

    The directory may be missing: it may be on a disk that is not mounted yet.
    """
    for what, path in (("shell", context.shell), ("directory", context.cwd)):
        if not os.path.isabs(path) or not _can_pass(path) or len(path) > _LONGEST_PATH:
            instead = f"; try {DEFAULT_SHELL}" if what == "shell" else ""
            raise BadInput(f"{what} '{safe_text(path[:200])}' is not an absolute path{instead}")
    for name, value in (*context.env.items(), *context.captured.items()):
        if not name or "=" in name or not _can_pass(name + (value or "")):
            raise BadInput(f"environment variable '{safe_text(name[:40])}' could reach no program")
    if not _can_pass(context.user) or len(context.user) > _LONGEST_USER:
        raise BadInput(f"user '{safe_text(context.user[:40])}' can be no name of a user")
    if not 0 <= context.umask <= 0o777:
        raise BadInput(f"umask {context.umask:o} is none; it is from 0000 to 0777")


def _can_pass(text: str) -> bool:
    """Whether a program could be given it."""
    return "\0" not in text and _encodable(text)


def checked_secrets(names: Sequence[str], env: Mapping[str, str]) -> tuple[str, ...]:
    """Each name once. Raises BadInput for one that cannot be, or that `env` sets as well."""
    distinct = tuple(sorted({check_secret(name) for name in names}))
    if both := [name for name in distinct if name in env]:
        raise BadInput(f"{both[0]} is in --env and in --secret; give it to one")
    if len(distinct) > MOST_SECRETS:
        raise BadInput(f"{len(distinct)} secrets; a job has {MOST_SECRETS} at most")
    return distinct


def _directory(cwd: str | None) -> str:
    try:
        directory = os.path.abspath(os.path.expanduser(cwd)) if cwd else os.getcwd()
    except FileNotFoundError:
        raise BadInput("this directory was deleted; go to another one") from None
    if cwd and not os.path.isdir(directory):
        raise BadInput(f"no directory '{safe_text(directory)}'; jobs would fail there")
    if not _encodable(directory):
        raise BadInput(f"the name of directory '{safe_text(directory)}' is not valid UTF-8")
    return directory


@cache
def user_name() -> str:
    """Who we are, for the record of who did what."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run under a uid without a name
        return str(os.getuid())


def _quoted(words: Sequence[str]) -> str:
    import shlex

    return shlex.join(words)


def _checked_argv(command: object) -> tuple[str, ...]:
    if not isinstance(command, Sequence) or not all(isinstance(word, str) for word in command):
        raise BadInput("a command is a line of text, or a list of words")
    return tuple(command)


def _check_types(policy: Mapping[str, object]) -> None:
    # What comes from a file or from untyped Python was seen by no type checker.
    for name, value in policy.items():
        if name not in _TYPES:
            raise BadInput(f"a job has no '{safe_text(name)}'; it has {', '.join(_TYPES)}")
        wanted, words = _TYPES[name]
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            raise BadInput(f"{name} must be {words}")


def _checked_after(policy: Policy) -> dict[After, tuple[int | str, ...]]:
    """What it is to wait for, in those ways that are named at all: `edit` leaves the others."""
    given = {
        After.OK: policy.get("after_ok"),
        After.ANY: policy.get("after_any"),
        After.FAIL: policy.get("after_fail"),
    }
    return {
        after: tuple(_checked_name(name) for name in names)
        for after, names in given.items()
        if names is not None
    }


def _checked_name(name: object) -> int | str:
    """An id or a key. Digits alone are an id, wherever they come from."""
    if isinstance(name, str) and not (name.isdecimal() and len(name) < 20):
        if not name or not _encodable(name):
            raise BadInput("a job to wait for has no empty key; give its id or its key")
        return name
    if isinstance(name, bool) or not isinstance(name, int | str):
        raise BadInput("a job to wait for is named by its id or its key")
    if not 0 < int(name) <= _INT64:
        raise BadInput(f"no job has the id {name}; ids begin with 1")
    return int(name)


def _checked_timeout(timeout: timedelta | float) -> timedelta:
    try:
        checked = timeout if isinstance(timeout, timedelta) else timedelta(seconds=timeout)
    except (OverflowError, ValueError):  # infinite, or not a number
        checked = timedelta(0)
    if not timedelta(milliseconds=1) <= checked <= _LONGEST_WAIT:
        raise BadInput("a timeout must be from 1 ms to 100 years; leave it out for none")
    return checked


def _checked_codes(codes: str | Sequence[int]) -> tuple[int, ...]:
    return parse_exit_codes(codes) if isinstance(codes, str) else checked_exit_codes(codes)


def _check_rules(only: tuple[int, ...], never: tuple[int, ...]) -> None:
    if both := tuple(code for code in only if code in never):
        codes = exit_codes_text(both)
        raise BadInput(f"exit code {codes} is in --retry-on and in --no-retry-on; give it to one")


def _checked_hook(line: str | None) -> str | None:
    if line is not None:
        _check_command(line, None)
    return line


def _checked_path(path: str, cwd: str) -> str:
    if not path or "\0" in path or not _encodable(path):
        raise BadInput(f"'{safe_text(path)}' cannot name a log file")
    return os.path.normpath(os.path.join(cwd, os.path.expanduser(path)))


def _check_command(line: str, argv: tuple[str, ...] | None) -> None:
    words = (line,) if argv is None else argv
    if not line.strip() or (argv is not None and not (argv and argv[0])):
        raise BadInput("the command is empty; give the line to run")
    for word in words:
        if "\0" in word:
            raise BadInput("the command contains a NUL character, which no program can receive")
        if not _encodable(word):
            raise BadInput("the command is not valid UTF-8")
        if len(word.encode()) > LONGEST_COMMAND:
            raise BadInput(
                f"the command is longer than {LONGEST_COMMAND} bytes; put it into a script"
            )


def check_lines(lines: Sequence[str]) -> None:
    """Raise BadInput unless each can be a command for the shell; all are looked at together."""
    if any(kind is not str for kind in set(map(type, lines))):
        raise _no_line()
    together = "".join(lines)
    longest = 4 * max(map(len, lines), default=0)  # bytes that UTF-8 may take
    fine = "\0" not in together and _encodable(together) and longest <= LONGEST_COMMAND
    if not (fine and all(map(str.strip, lines))):
        for line in lines:
            _check_command(line, None)


def _no_line() -> BadInput:
    return BadInput("a line to run is text; programs with arguments go to add_many")


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate: bytes of the command line that are not UTF-8
        return False
    return True


def _captured(around: Mapping[str, str], names: Sequence[str]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in names:
        if name.endswith("*"):
            matching = {k: v for k, v in around.items() if k.startswith(name[:-1])}
            found |= {k: v for k, v in matching.items() if _encodable(v)}
        elif _encodable(value := around.get(name) or ""):
            found[name] = value if name in around else None
    return found


def _umask() -> int:
    # os.umask() can only be read by setting it, which other threads would see.
    try:
        with open("/proc/self/status", encoding="utf-8", errors="replace") as status:
            for line in status:
                if line.startswith("Umask:"):
                    return int(line.split()[1], 8)
    except OSError:  # no /proc: not Linux
        pass
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
