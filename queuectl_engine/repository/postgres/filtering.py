"""A filter as conditions of our own query; every value is bound. As on SQLite, case is ignored."""

from __future__ import annotations

from typing import Any, Final

from queuectl_engine.filter import Field, Filter, Term
from queuectl_engine.job import STORED_AS, JobState
from queuectl_engine.repository.rows import ms

_CAUSE_ENDINGS: Final = {"killed": "killed %", "timeout": "timed out", "lost": "lost"}
_ENDINGS: Final = {"killed": "killed by signal %", "timeout": "timed out%", "lost": "lost%"}

_LABELLED: Final = """
    EXISTS (SELECT 1 FROM job_label WHERE job_label.job = job.id AND job_label.label = {name})
"""


def condition(wanted: Filter) -> tuple[str, dict[str, Any]]:
    """` AND …` for each term, and the values that it names."""
    sql, args = "", dict[str, Any]()
    for number, term in enumerate(wanted.terms):
        name = f"filter_{number}"
        test, value = _test(term, f"%({name})s")
        # A NULL key or reason is no match, and its negation is one.
        sql += f" AND {'NOT ' if term.negated else ''}coalesce({test}, false)"
        args[name] = value
    return sql, args


def _test(term: Term, name: str) -> tuple[str, Any]:
    match term.field:
        case Field.WORD:
            part = _containing(term.value)
            return f"(command ILIKE {name} ESCAPE '\\' OR key ILIKE {name} ESCAPE '\\')", part
        case Field.KEY:
            return f"(key ILIKE {name} ESCAPE '\\')", _containing(term.value)
        case Field.QUEUE:
            return f"(queue = (SELECT id FROM queue WHERE name = {name}))", term.value
        case Field.STATE:
            states = " ".join(
                s for each in term.value.split(",") for s in STORED_AS[JobState(each)]
            )
            return f"(state = ANY ({name}::text[]))", states.split()
        case Field.CAUSE:
            return f"(state = 'dead' AND cause = {name})", int(term.value)
        case Field.EXIT:
            # Of an exit code that is not retried, the reason says so after a comma.
            ending = _ENDINGS.get(term.value, f"exit {term.value}")
            return f"(reason ILIKE {name} OR reason ILIKE {name} || ', %%')", ending
        case Field.SCHEDULE:
            named = f"SELECT s.id FROM schedule AS s WHERE s.name = {name}"
            return f"(job.schedule::text = {name} OR job.schedule = ({named}))", term.value
        case Field.OLDER | Field.YOUNGER:
            assert term.moment is not None
            sign = "<" if term.field is Field.OLDER else ">"
            return f"(updated_ms {sign} {name})", ms(term.moment)
        case Field.LABEL:
            return _LABELLED.format(name=name), term.value


def cause_condition(wanted: Filter) -> tuple[str, dict[str, Any]]:
    """The same for a row of `cause`; the filter is one for causes."""
    sql, args = "", dict[str, Any]()
    for number, term in enumerate(wanted.terms):
        name = f"filter_{number}"
        if term.field is Field.EXIT:
            ending = _CAUSE_ENDINGS.get(term.value, f"exit {term.value}")
            test, args[name] = f"ended ILIKE %({name})s", ending
        else:
            text = "program || ' ' || ended || ' ' || line"
            test, args[name] = f"{text} ILIKE %({name})s ESCAPE '\\'", _containing(term.value)
        sql += f" AND {'NOT ' if term.negated else ''}({test})"
    return sql, args


def _containing(text: str) -> str:
    for special in "\\%_":
        text = text.replace(special, f"\\{special}")
    return f"%{text}%"
