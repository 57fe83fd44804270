"""A crontab, as `crontab -l` prints it, as schedules."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from queuectl_engine.errors import BadInput

_SETTING: Final = re.compile(
    r"""\s*(?P<q>["']?)(?P<name>[A-Za-z_]\w*)(?P=q)\s*=\s*(?P<value>.*?)\s*"""
)
_NICKNAMES: Final = (
    "@yearly",
    "@annually",
    "@monthly",
    "@weekly",
    "@daily",
    "@midnight",
    "@hourly",
)
_ENTRY: Final = re.compile(r"(?P<when>@\w+|\S+(?:\s+\S+){4})\s+(?P<command>.+)")
_NOT_OURS: Final = frozenset({"MAILTO", "MAILFROM", "CONTENT_TYPE", "CONTENT_TRANSFER_ENCODING"})
_FIELD: Final = re.compile(r"[\d*,/a-zA-Z~?#-]+")


@dataclass(frozen=True, slots=True)
class CronJob:
    """An entry of a crontab with the settings above it. `left_out` says why it is no schedule."""

    line: int
    when: str = ""
    command: str = ""
    shell: str | None = None
    zone: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    left_out: str | None = None

    @property
    def name(self) -> str:
        """The same for the same entry, so that it is imported once."""
        digest = hashlib.sha256("\0".join(self.schedule()).encode()).hexdigest()
        return f"crontab-{digest[:12]}"

    def schedule(self) -> list[str]:
        """The words of the `queuectl` line that does the same: from the home directory, as cron."""
        words = ["queuectl", "schedule", "add", "--cwd", "~"]
        words += ["--tz", self.zone] if self.zone else []
        words += ["--shell", self.shell] if self.shell else []
        for name, value in self.env.items():
            words += ["--env", f"{name}={value}"]
        return [*words, self.when, self.command]


def crontab(lines: Iterable[tuple[int, str]]) -> Iterator[CronJob]:
    """Each entry. Raises BadInput that names the line which is neither setting nor entry."""
    shell, zone = None, None
    env: dict[str, str] = {}
    for number, line in lines:
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if setting := _SETTING.fullmatch(text):
            name, value = setting["name"], _unquoted(setting["value"])
            if name == "SHELL":
                shell = value
            elif name == "CRON_TZ":
                zone = value
            elif name not in _NOT_OURS:
                env = {**env, name: value}
            continue
        yield _entry(number, text, CronJob(number, "", "", shell, zone, env))


def _entry(number: int, text: str, above: CronJob) -> CronJob:
    found = _ENTRY.fullmatch(text)
    if not found or not _is_time(found["when"]):
        raise BadInput(f"line {number} is neither an entry of a crontab nor a setting")
    when, command = " ".join(found["when"].split()), found["command"]
    if when == "@reboot":
        return CronJob(number, left_out="@reboot: run a pool as a service instead")
    if when.startswith("@") and when not in _NICKNAMES:
        return CronJob(number, left_out=f"{when}: no time that queuectl knows")
    line, stdin = _split_at_percent(command)
    if stdin:
        return CronJob(number, left_out="text for stdin after %: put it into a script")
    return CronJob(number, when, line, above.shell, above.zone, above.env)


def _is_time(when: str) -> bool:
    return when.startswith("@") or all(_FIELD.fullmatch(each) for each in when.split())


def _split_at_percent(command: str) -> tuple[str, bool]:
    r"""The line up to the first bare %, where cron begins stdin; `\%` is a plain one."""
    parts = re.split(r"(?<!\\)%", command, maxsplit=1)
    return parts[0].replace(r"\%", "%"), len(parts) > 1


def _unquoted(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if quoted else value


def written(job: CronJob) -> str:
    """The line as a person would type it, or a comment that says why there is none."""
    if job.left_out:
        return f"# line {job.line} is left out: {job.left_out}"
    return shlex.join(job.schedule())
