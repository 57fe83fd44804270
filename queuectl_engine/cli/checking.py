"""`queuectl status --check`: conditions on numbers, for monitoring that reads one line."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from queuectl_engine.engine import Engine
from queuectl_engine.errors import BadInput
from queuectl_engine.job import JobState, State
from queuectl_engine.safe_text import safe_text
from queuectl_engine.times import parse_duration

_COUNTS: Final[tuple[State | JobState, ...]] = (*JobState, State.READY, State.SCHEDULED)
NAMES: Final = (*(str(state) for state in _COUNTS), "oldest_ready_age", "pools", "workers")
_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}
_FORM: Final = re.compile(rf"\s*(\w+)\s*({'|'.join(map(re.escape, _COMPARE))})\s*(\S+)\s*")
_NUMBER: Final = re.compile(r"\d{1,18}(\.\d{1,9})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Check:
    """A condition that would be trouble: a name, how to compare, and with what."""

    name: str
    compare: str
    bound: float
    text: str

    def holds(self, value: float) -> bool:
        """Whether there is trouble."""
        return _COMPARE[self.compare](value, self.bound)


def check(text: str) -> Check:
    """A condition as people type it: dead>0, oldest_ready_age>10m, pools<1. Raises BadInput."""
    found = _FORM.fullmatch(text)
    shown = safe_text(text)
    if not found:
        raise BadInput(f"'{shown}' is no condition; write one like 'dead>0'")
    name, compare, number = found.groups()
    if name not in NAMES:
        raise BadInput(f"'{shown}': no '{name}' here; there are {', '.join(NAMES)}")
    return Check(name, compare, _number(name, number, shown), "".join(found.groups()))


def _number(name: str, text: str, shown: str) -> float:
    if name == "oldest_ready_age":
        return parse_duration(text).total_seconds()
    if not _NUMBER.fullmatch(text):
        raise BadInput(f"'{shown}': '{safe_text(text)}' is no number")
    return float(text)


def values(engine: Engine) -> dict[str, float]:
    """Every number that a condition may name, now. Ages are seconds."""
    counts, due = engine.counts(), engine.oldest_due()
    pools = [pool for pool in engine.pools() if pool.alive is not False]
    age = max(0.0, (datetime.now(UTC) - due).total_seconds()) if due else 0.0
    return {
        **{str(state): float(counts.of(state)) for state in _COUNTS},
        "oldest_ready_age": age,
        "pools": len(pools),
        "workers": sum(pool.running for pool in pools),
    }


def sentence(checks: tuple[Check, ...], found: Mapping[str, float]) -> str:
    """One line as Nagios plugins print it: the verdict, the reason, the numbers."""
    bad = [check for check in checks if check.holds(found[check.name])]
    told = [f"{one.name} is {found[one.name]:.10g} ({one.text})" for one in bad or checks]
    numbers = dict.fromkeys(check.name for check in checks)
    perfdata = " ".join(f"{name}={found[name]:.10g}" for name in numbers)
    return f"{'WARNING' if bad else 'OK'}: {', '.join(told)} | {perfdata}"
