"""A filter as conditions of our own query, in any store; every value is bound, case is ignored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from queuectl_engine.filter import Field, Filter, Term
from queuectl_engine.job import STORED_AS, JobState
from queuectl_engine.repository.rows import ms

_CAUSE_ENDINGS: Final = {"killed": "killed %", "timeout": "timed out", "lost": "lost"}
_ENDINGS: Final = {"killed": "killed by signal %", "timeout": "timed out%", "lost": "lost%"}


@dataclass(frozen=True, slots=True)
class Filtering:
    """Makes conditions in the SQL of one store.

    `value` has a place for the name of a bound value. So do the conditions, one for each field of
    a job, and those for words and endings of a cause.
    """

    value: str
    of_job: Mapping[Field, str]
    of_cause: Mapping[Field, str]

    def condition(self, wanted: Filter) -> tuple[str, dict[str, Any]]:
        """` AND …` for each term, and the values that it names."""
        return self._conditions(wanted, self.of_job, _ENDINGS)

    def cause_condition(self, wanted: Filter) -> tuple[str, dict[str, Any]]:
        """The same for a row of `cause`; the filter is one for causes."""
        return self._conditions(wanted, self.of_cause, _CAUSE_ENDINGS)

    def _conditions(
        self, wanted: Filter, tests: Mapping[Field, str], endings: Mapping[str, str]
    ) -> tuple[str, dict[str, Any]]:
        sql, args = "", dict[str, Any]()
        for number, term in enumerate(wanted.terms):
            name = f"filter_{number}"
            test = tests[term.field].format(self.value.format(name))
            # A NULL key or reason is no match, and its negation is one.
            sql += f" AND {'NOT ' if term.negated else ''}coalesce({test}, false)"
            args[name] = _value_of(term, endings)
        return sql, args


def _value_of(term: Term, endings: Mapping[str, str]) -> str | int:
    match term.field:
        case Field.WORD | Field.KEY:
            return _containing(term.value)
        case Field.STATE:
            outward = map(JobState, term.value.split(","))
            return f" {' '.join(state for each in outward for state in STORED_AS[each])} "
        case Field.CAUSE:
            return int(term.value)
        case Field.EXIT:
            return endings.get(term.value, f"exit {term.value}")
        case Field.OLDER | Field.YOUNGER:
            assert term.moment is not None
            return ms(term.moment)
        case Field.QUEUE | Field.LABEL | Field.SCHEDULE:
            return term.value


def _containing(text: str) -> str:
    for special in "\\%_":
        text = text.replace(special, f"\\{special}")
    return f"%{text}%"
