"""What people type to say which jobs they mean."""

from __future__ import annotations

import pytest

from queuectl_engine.errors import BadInput
from queuectl_engine.filter import Field, Term, parse_filter
from queuectl_engine.job import JobState
from tests.samples import HOUR, NOON


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", []),
        ("  ", []),
        ("curl", [Term(Field.WORD, "curl")]),
        ('"a phrase" !other', [Term(Field.WORD, "a phrase"), Term(Field.WORD, "other", True)]),
        ("queue:mail !queue:slow", [Term(Field.QUEUE, "mail"), Term(Field.QUEUE, "slow", True)]),
        ("state:dead,failed", [Term(Field.STATE, "dead,failed")]),
        ("exit:22 exit:killed", [Term(Field.EXIT, "22"), Term(Field.EXIT, "killed")]),
        ("cause:5 x", [Term(Field.CAUSE, "5"), Term(Field.WORD, "x")]),
        ("key:nightly", [Term(Field.KEY, "nightly")]),
        ('queue:"x"', [Term(Field.QUEUE, "x")]),
        ("https://x", [Term(Field.WORD, "https://x")]),
        ("age>1h", [Term(Field.OLDER, "1h", False, NOON - HOUR)]),
        ("!age<60m", [Term(Field.YOUNGER, "60m", True, NOON - HOUR)]),
    ],
)
def test_words_become_terms(text: str, terms: list[Term]) -> None:
    wanted = parse_filter(text, now=NOON)
    assert list(wanted.terms) == terms
    assert bool(wanted) is bool(terms)
    assert str(wanted) == text.strip()


@pytest.mark.parametrize(
    "text",
    [
        "state:done",
        "exit:bad",
        "queue:",
        "age>soon",
        "age<",
        "cause:x",
        "cause:99999999999999999999",
    ],
)
def test_what_makes_no_sense_is_named(text: str) -> None:
    with pytest.raises(BadInput):
        parse_filter(text, now=NOON)


def test_it_knows_which_states_it_lets_through() -> None:
    assert parse_filter("x state:dead,failed", now=NOON).states == {
        JobState.DEAD,
        JobState.FAILED,
    }
    assert not parse_filter("!state:dead", now=NOON).states
    assert parse_filter("cause:5", now=NOON).states == {JobState.DEAD}
    assert not parse_filter("!cause:5", now=NOON).states


def test_within_a_cause_it_says_so() -> None:
    within = parse_filter('"a b" !c', now=NOON).within(5)
    assert str(within) == 'cause:5 "a b" !c'
    assert within == parse_filter(str(within), now=NOON)


def test_causes_have_words_and_endings_only() -> None:
    wanted = parse_filter("curl !exit:22", now=NOON)
    assert wanted.for_causes() is wanted
    with pytest.raises(BadInput, match="a cause has no age"):
        parse_filter("curl age>1h", now=NOON).for_causes()
