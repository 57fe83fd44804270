"""Which jobs are meant: words and `queue: state: exit: key: cause: age>1h !word "a phrase"`. Pure.

Terms are joined by *and*; each may be negated with `!`. A repository turns them into its own query.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from queuectl_engine.errors import BadInput
from queuectl_engine.job import JobState
from queuectl_engine.safe_text import safe_text
from queuectl_engine.times import parse_duration


class Field(StrEnum):
    """What a term looks at."""

    WORD = "word"  # part of the command or the key, whatever the case
    QUEUE = "queue"
    STATE = "state"  # one, or several with commas
    EXIT = "exit"  # a number, or killed, timeout, lost
    KEY = "key"  # part of the key
    CAUSE = "cause"  # dead of it; its number
    OLDER = "age>"  # last moved before `moment`
    YOUNGER = "age<"


@dataclass(frozen=True, slots=True)
class Term:
    """One condition. `moment` is set for ages only."""

    field: Field
    value: str
    negated: bool = False
    moment: datetime | None = None


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions that all must hold; without any it lets every job through, and is falsy."""

    text: str = ""
    terms: tuple[Term, ...] = ()

    def __str__(self) -> str:
        return self.text

    @property
    def states(self) -> frozenset[JobState]:
        """The only states that it lets through, as far as it names any."""
        named = [term for term in self.terms if term.field is Field.STATE and not term.negated]
        states = {JobState(state) for term in named for state in term.value.split(",")}
        return frozenset(states or ({JobState.DEAD} if self.cause is not None else ()))

    @property
    def cause(self) -> int | None:
        """The only cause of death that it lets through, if it names one."""
        named = (t.value for t in self.terms if t.field is Field.CAUSE and not t.negated)
        return next(map(int, named), None)

    def for_causes(self) -> Filter:
        """Itself, if causes have all that it names. Raises BadInput."""
        for term in self.terms:
            if term.field not in (Field.WORD, Field.EXIT):
                name = term.field.value.rstrip("<>")
                raise BadInput(f"a cause has no {name}; filter causes by words and exit:")
        return self

    def within(self, cause: int) -> Filter:
        """The same among the jobs that are dead of one cause."""
        term = Term(Field.CAUSE, str(cause))
        return Filter(f"{term.field}:{term.value} {self.text}".rstrip(), (term, *self.terms))

    def __bool__(self) -> bool:
        return bool(self.terms)


_TERM: Final = re.compile(r'!?(?:[A-Za-z]+[:<>])?(?:"[^"]*"|\S)+')
_PARTS: Final = re.compile(r"(!?)(?:([A-Za-z]+)([:<>]))?(.*)", re.DOTALL)
_ENDINGS: Final = ("killed", "timeout", "lost")
_NAMED: Final = {"queue", "state", "exit", "key", "cause"}
_LARGEST_ID: Final = 2**63 - 1


def parse_filter(text: str, *, now: datetime) -> Filter:
    """Understand what a person typed. Raises BadInput that names the word and what would do."""
    terms = [_term(word, now) for word in _TERM.findall(text)]
    return Filter(" ".join(text.split()), tuple(term for term in terms if term is not None))


def _term(word: str, now: datetime) -> Term | None:
    match = _PARTS.fullmatch(word)
    assert match is not None  # it matches everything
    negated = bool(match[1])
    name, sign, value = (match[2] or "").lower(), match[3], match[4].replace('"', "")
    if name == "age" and sign in "<>":
        return _age(word, sign, value, negated, now)
    if name in _NAMED and sign == ":":
        return _named(Field(name), value, negated)
    whole = (match[2] or "") + (sign or "") + value
    return Term(Field.WORD, whole, negated) if whole else None


def _named(field: Field, value: str, negated: bool) -> Term:
    if not value:
        raise BadInput(f"{field}: wants a value, as in {field}:{_example(field)}")
    if field is Field.STATE and not set(value.split(",")) <= set(JobState):
        raise BadInput(f"state:{safe_text(value)} is none of {', '.join(JobState)}")
    if field is Field.EXIT and not (value.isdecimal() or value in _ENDINGS):
        raise BadInput(f"exit:{safe_text(value)} is no exit code, nor {', '.join(_ENDINGS)}")
    if field is Field.CAUSE and not (value.isdecimal() and int(value) <= _LARGEST_ID):
        raise BadInput(f"cause:{safe_text(value)} is no number; 'queuectl failures' lists causes")
    return Term(field, value, negated)


def _age(word: str, sign: str, value: str, negated: bool, now: datetime) -> Term:
    try:
        moment = now - parse_duration(value)
    except (BadInput, OverflowError) as error:
        raise BadInput(f"'{safe_text(word)}' needs a duration, as in age>1h") from error
    return Term(Field.OLDER if sign == ">" else Field.YOUNGER, value, negated, moment)


def _example(field: Field) -> str:
    return {"queue": "mail", "state": "dead", "exit": "1", "cause": "5"}.get(field, "nightly")
