"""One line of a file as a job: a plain line for the shell, or a JSON object with its own policy."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NoReturn, cast

from queuectl_engine.engine import Engine
from queuectl_engine.errors import BadInput
from queuectl_engine.job import Context, NewJob
from queuectl_engine.new_job import Policy, Surroundings, check_lines
from queuectl_engine.safe_text import safe_text
from queuectl_engine.times import parse_duration, parse_moment

_AROUND: Final[tuple[str, ...]] = ("cwd", "env", "shell", "secrets")


class LineReader:
    """The line is the command."""

    def __init__(self, engine: Engine, policy: Policy, around: Surroundings) -> None:
        self._engine = engine
        self._policy = policy
        self._context = engine.context(**around)
        self._first: NewJob | None = None  # all others are like it

    def job(self, line: str) -> NewJob:
        """A job that runs the line under the shell. Raises BadInput."""
        if self._first is None:
            self._first = self._engine.new_job(line, self._context, **self._policy)
        check_lines([line])
        return self._first._replace(command=line)


class ObjectReader:
    """The line is a JSON object: `command` or `argv`, and any option of `add` by its name."""

    def __init__(self, engine: Engine, policy: Policy, around: Surroundings) -> None:
        self._engine = engine
        self._policy = policy
        self._around = around
        self._contexts: dict[str, Context] = {}

    def job(self, line: str) -> NewJob:
        """The job that the object describes. Raises BadInput for what it cannot mean."""
        fields = checked_fields(parsed_object(line))
        if ("command" in fields) == ("argv" in fields):
            raise BadInput("give either 'command' or 'argv'")
        command = fields.pop("command" if "command" in fields else "argv")
        around = {name: fields.pop(name) for name in _AROUND if name in fields}
        policy = cast(Policy, {**self._policy, **fields})
        return self._engine.new_job(command, self._context(around), **policy)

    def _context(self, around: Mapping[str, Any]) -> Context:
        # Jobs that say the same share one context, which is captured and stored once.
        wanted = cast(Surroundings, {**self._around, **around})
        name = json.dumps(wanted, sort_keys=True)
        if name not in self._contexts:
            self._contexts[name] = self._engine.context(**wanted)
        return self._contexts[name]


def with_key_for_id(line: str) -> str | None:
    """An object as other queues take it, its `id` as our `key`; None for what is no object."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):  # `{ echo a; }` is a line for the shell
        return None
    if isinstance(value, dict) and "id" in value:
        value["key"] = value.pop("id")
    return json.dumps(value)


def parsed_object(line: str) -> dict[str, Any]:
    """The JSON object on a line. Raises BadInput."""
    try:
        value = _STRICT.decode(line)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise BadInput(f"not JSON: {reason}") from error
    if not isinstance(value, dict):
        raise BadInput('not an object; try {"command": "echo hello"}')
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):  # which of the two was meant?
        raise ValueError("a name stands in it twice")
    return found


_STRICT: Final = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_each_once)


def checked_fields(given: Mapping[str, Any], *, strict: bool = True) -> dict[str, Any]:
    """The fields of a job by name, each of its kind; with `strict` nothing else may be there.

    Raises BadInput.
    """
    fields = {}
    for name, value in given.items():
        known = name.replace("-", "_")  # the options are spelled so
        if known not in _FIELDS:
            if not strict:
                continue
            raise BadInput(f"unknown key '{safe_text(name)}'; known are {', '.join(_FIELDS)}")
        if known in fields:
            raise BadInput(f"'{known}' is given twice")
        try:
            fields[known] = _FIELDS[known](value)
        except TypeError as error:
            raise BadInput(f"'{known}' must be {error}") from error
    return fields


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise TypeError("a string")


def _optional_text(value: object) -> str | None:
    return None if value is None else _text(value)


def _whole(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise TypeError("a whole number")


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise TypeError("true or false")


def _argv(value: object) -> tuple[str, ...]:
    if isinstance(value, list) and value and all(isinstance(word, str) for word in value):
        return tuple(value)
    raise TypeError("a list of strings")


def _names(value: object) -> tuple[int | str, ...]:
    if isinstance(value, list) and all(type(name) in (int, str) for name in value):
        return tuple(value)
    raise TypeError("a list of ids and keys")


def _env(value: object) -> dict[str, str]:
    if isinstance(value, dict) and all(isinstance(each, str) for each in value.values()):
        return value
    raise TypeError("an object of strings")


def _labels(value: object) -> list[str]:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return value
    raise TypeError("a list of strings")


def _codes(value: object) -> str | list[int]:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(each, int) for each in value):
        return value
    raise TypeError("a list of exit codes, or a string such as '64-78,124'")


def _moment(value: object) -> datetime | None:
    if value is None:
        return None
    return parse_moment(_text(value), now=datetime.now().astimezone())


def _duration(value: object) -> timedelta | float | None:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    if isinstance(value, str):
        return parse_duration(value)
    raise TypeError("seconds or a duration like '10m'")


_FIELDS: Final[Mapping[str, Callable[[object], Any]]] = {
    "command": _text,
    "argv": _argv,
    "queue": _text,
    "priority": _whole,
    "max_retries": _whole,
    "run_at": _moment,
    "timeout": _duration,
    "key": _optional_text,
    "cwd": _optional_text,
    "env": _env,
    "shell": _optional_text,
    "secrets": _labels,
    "allow_background": _flag,
    "log_file": _optional_text,
    "labels": _labels,
    "retry_on": _codes,
    "no_retry_on": _codes,
    "on_dead": _optional_text,
    "on_completed": _optional_text,
    "after_ok": _names,
    "after_any": _names,
    "after_fail": _names,
    "mutex": _optional_text,
}
