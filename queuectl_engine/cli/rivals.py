"""Lists of other programs as arrivals: pueue, task-spooler, GNU parallel."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from queuectl_engine.cli.arrivals import Around, Arrival
from queuectl_engine.errors import BadInput
from queuectl_engine.new_job import CAPTURED, Policy

Lines = Iterable[tuple[int, str]]
ONCE: Final = Policy(max_retries=0)  # none of them runs a job again by itself
_FAILED_THERE: Final = "failed there (--failed takes them)"


def pueue(text: str, *, failed: bool) -> Iterator[Arrival]:
    """Tasks of `pueue status --json`, of pueue 2, 3 and 4. Raises BadInput.

    A stashed task that has a time is scheduled; one without waits in the queue GROUP.stashed, which
    the caller pauses. Of its environment we keep what we would have captured.
    """
    try:
        tasks = json.loads(text)["tasks"]
        assert isinstance(tasks, dict)
    except (ValueError, KeyError, TypeError, AssertionError, RecursionError):
        raise BadInput("this is not what 'pueue status --json' prints") from None
    for number, task in enumerate(tasks.values(), start=1):
        try:
            yield _pueue_task(number, task, tasks, failed)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise BadInput(f"task {number} is none that pueue writes: {error!r}") from error


def _pueue_task(
    number: int, task: Mapping[str, Any], tasks: Mapping[str, Any], failed: bool
) -> Arrival:
    state, details = _pueue_state(task["status"])
    waits = [n for n in task.get("dependencies", ()) if not _has_succeeded(tasks.get(str(n)))]
    if why := _pueue_left_out(state, details, waits, failed):
        return Arrival(number, left_out=why)
    policy = Policy(
        queue=_queue_name(task.get("group", "default")),
        priority=int(task.get("priority", 0)),
        max_retries=0,
    )
    if state == "Stashed":
        if moment := details.get("enqueue_at"):
            policy["run_at"] = datetime.fromisoformat(moment).astimezone(UTC)
        else:
            policy["queue"] += STASHED
    if not isinstance(task["path"], str):
        raise TypeError("path is no text")
    around = Around(cwd=task["path"], captured=_captured(task.get("envs", {})))
    return Arrival(
        number, task["command"], policy, around, f"pueue:{task['id']}:{task['created_at']}"
    )


STASHED: Final = ".stashed"


def _pueue_state(status: Any) -> tuple[str, dict[str, Any]]:
    """Pueue 4 gives every state its fields; before, some were bare words."""
    if isinstance(status, str):
        return status, {}
    ((state, details),) = status.items()
    if state == "Done" and not (isinstance(details, dict) and "result" in details):
        details = {"result": details}
    return state, details or {}


def _pueue_left_out(
    state: str, details: Mapping[str, Any], waits: list[int], failed: bool
) -> str | None:
    if state == "Done":
        if details["result"] == "Success":
            return "completed there"
        return None if failed else _FAILED_THERE
    if state not in ("Queued", "Stashed"):
        return "running there" if state in ("Running", "Paused") else f"{state} there"
    return f"waiting there for task {', '.join(map(str, waits))}" if waits else None


def _has_succeeded(task: Mapping[str, Any] | None) -> bool:
    if task is None:  # cleaned away: pueue waits only for what it knows
        return True
    state, details = _pueue_state(task["status"])
    return state == "Done" and details["result"] == "Success"


def _captured(envs: Mapping[str, str]) -> dict[str, str | None] | None:
    if not envs:  # blanked: then as here
        return None
    names = {name for name in CAPTURED if not name.endswith("*")}
    prefixes = tuple(name[:-1] for name in CAPTURED if name.endswith("*"))
    taken = {name: value for name, value in envs.items() if name.startswith(prefixes)}
    if not all(isinstance(value, str) for value in envs.values()):
        raise TypeError("envs are no texts")
    return {**{name: envs.get(name) for name in sorted(names)}, **taken}


def _queue_name(group: str) -> str:
    return re.sub(r"\s+", "-", group)


_TSP_HEAD: Final = re.compile(r"ID\s+State\s+Output\s+E-Level\b.*")
_TSP_LINE: Final = re.compile(
    r"(?P<id>\d+)\s+(?P<state>[a-z]+)\s+(?P<output>\S+)\s+"
    r"(?:(?P<code>-?\d+)\s+[\d.]+\w*(?:/[\d.]+){0,2}\s+)?"
    r"(?:\[(?P<after>[\d,]+)\](?:&&|\|\|)\s)?(?:\[(?P<label>[^\]\s][^\]]*)\](?=\S))?(?P<command>.*)"
)
_SHELL_LINE: Final = re.compile(r"(?P<shell>(?:/\S*/)?(?:ba|da|z|k)?sh) -c (?P<line>.+)")
_SHELLS: Final = {"sh": "/bin/sh", "bash": "/bin/bash", "dash": "/bin/dash", "zsh": "/bin/zsh"}


def tsp(lines: Lines, *, failed: bool) -> Iterator[Arrival]:
    """The list that `tsp` prints. Raises BadInput.

    It shows commands without their quotes: a command is split at blanks into the arguments of a
    program, and what follows `sh -c` is a line for that shell.
    """
    rest = iter(lines)
    number, head = next(rest, (1, ""))
    if not _TSP_HEAD.match(head):
        raise BadInput("this is not the list that 'tsp' prints: it begins with ID State Output")
    for number, line in rest:
        found = _TSP_LINE.fullmatch(line.rstrip())
        if not found or not found["command"].strip():
            raise BadInput(f"line {number} is none that tsp writes")
        yield _tsp_job(number, found, failed)


def _tsp_job(number: int, found: re.Match[str], failed: bool) -> Arrival:
    state, after = found["state"], found["after"]
    done = state == "finished"
    if state not in ("queued", "finished") or (done and found["code"] == "0"):
        return Arrival(number, left_out="completed there" if done else f"{state} there")
    if done and not failed:
        return Arrival(number, left_out=_FAILED_THERE)
    if after and not done:
        return Arrival(number, left_out=f"waiting there for job {after}")
    command, origin = found["command"], f"tsp:{found['id']}:{_mark(found['command'])}"
    if line := _SHELL_LINE.fullmatch(command):
        shell = _SHELLS.get(line["shell"], line["shell"])
        if shell.startswith("/"):
            return Arrival(
                number, line["line"], ONCE, Around(shell=shell, shell_asked=True), origin
            )
    return Arrival(number, tuple(command.split()), ONCE, origin=origin)


_JOBLOG_HEAD: Final = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand"


def parallel(lines: Lines, *, failed: bool) -> Iterator[Arrival]:
    """A `--joblog` of GNU parallel, which holds only jobs that ended. Raises BadInput.

    A job that was tried again stands there more than once: its last line counts.
    """
    rest = iter(lines)
    if next(rest, (1, ""))[1] != _JOBLOG_HEAD:
        raise BadInput("this is no --joblog of GNU parallel: it begins with Seq Host Starttime")
    jobs: dict[str, tuple[int, list[str]]] = {}
    for number, line in rest:
        cells = line.split("\t", 8)
        if len(cells) < 9:
            raise BadInput(f"line {number} is none that GNU parallel writes")
        jobs[cells[0]] = number, cells
    for number, cells in jobs.values():
        seq, began, code, signal, command = cells[0], cells[2], cells[6], cells[7], cells[8]
        if (code, signal) == ("0", "0"):
            yield Arrival(number, left_out="completed there")
        elif not failed:
            yield Arrival(number, left_out=_FAILED_THERE)
        else:
            origin = f"parallel:{seq}:{began.strip()}:{_mark(command)}"
            yield Arrival(number, command, ONCE, origin=origin)


def _mark(command: str) -> str:
    return hashlib.sha256(command.encode()).hexdigest()[:16]
