"""A filter as conditions of our own query; every value is bound."""

from __future__ import annotations

from typing import Any, Final

from queuectl_engine.filter import Field, Filter, Term
from queuectl_engine.job import STORED_AS, JobState
from queuectl_engine.repository.sqlite.rows import ms

_CAUSE_ENDINGS: Final = {"killed": "killed %", "timeout": "timed out", "lost": "lost"}
_ENDINGS: Final = {"killed": "killed by signal %", "timeout": "timed out%", "lost": "lost%"}


def condition(wanted: Filter) -> tuple[str, dict[str, Any]]:
    """` AND …` for each term, and the values that it names."""
    sql, args = "", dict[str, Any]()
    for number, term in enumerate(wanted.terms):
        name = f"filter_{number}"
        test, value = _test(term, f":{name}")
        # A NULL key or reason is no match, and its negation is one.
        sql += f" AND {'NOT ' if term.negated else ''}ifnull({test}, 0)"
        args[name] = value
    return sql, args


def _test(term: Term, name: str) -> tuple[str, Any]:
    match term.field:
        case Field.WORD:
            part = _containing(term.value)
            return f"(command LIKE {name} ESCAPE '\\' OR key LIKE {name} ESCAPE '\\')", part
        case Field.KEY:
            return f"(key LIKE {name} ESCAPE '\\')", _containing(term.value)
        case Field.QUEUE:
            return f"(queue = (SELECT id FROM queue WHERE name = {name}))", term.value
        case Field.STATE:
            states = " ".join(
                s for each in term.value.split(",") for s in STORED_AS[JobState(each)]
            )
            return f"(instr({name}, ' ' || state || ' ') > 0)", f" {states} "
        case Field.CAUSE:
            return f"(state = 'dead' AND cause = {name})", int(term.value)
        case Field.EXIT:
            return f"(reason LIKE {name})", _ENDINGS.get(term.value, f"exit {term.value}")
        case Field.OLDER | Field.YOUNGER:
            assert term.moment is not None
            sign = "<" if term.field is Field.OLDER else ">"
            return f"(updated_ms {sign} {name})", ms(term.moment)


def cause_condition(wanted: Filter) -> tuple[str, dict[str, Any]]:
    """The same for a row of `cause`; the filter is one for causes."""
    sql, args = "", dict[str, Any]()
    for number, term in enumerate(wanted.terms):
        name = f"filter_{number}"
        if term.field is Field.EXIT:
            ending = _CAUSE_ENDINGS.get(term.value, f"exit {term.value}")
            test, args[name] = f"ended LIKE :{name}", ending
        else:
            text = "program || ' ' || ended || ' ' || line"
            test, args[name] = f"{text} LIKE :{name} ESCAPE '\\'", _containing(term.value)
        sql += f" AND {'NOT ' if term.negated else ''}({test})"
    return sql, args


def _containing(text: str) -> str:
    for special in "\\%_":
        text = text.replace(special, f"\\{special}")
    return f"%{text}%"
