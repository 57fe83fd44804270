"""Escape sequences that a slow link split, and those in what is pasted."""

from __future__ import annotations

import pytest

from queuectl_tui.joining import PATIENCE, Joiner, Pastes


def fed(*parts: str, every: float = 0.5) -> list[str]:
    """What the parser gets, when each Esc that stands alone was taken for a key meanwhile."""
    joiner = Joiner()
    got = []
    for number, part in enumerate(parts):
        got.append(joiner.join(part, number * every))
        joiner.let_go()
    return got


@pytest.mark.parametrize(
    ("parts", "got"),
    [
        (["j"], ["j"]),
        (["\x1b[6~"], ["\x1b[6~"]),
        (["\x1b", "[6~"], ["\x1b", "\x1b[6~"]),
        (["\x1b[", "6~"], ["\x1b", "\x1b[6~"]),
        (["\x1b[6", "~"], ["\x1b", "\x1b[6~"]),
        (["\x1b", "[", "6", "~"], ["\x1b", "", "", "\x1b[6~"]),
        (["\x1b[1;5", "Ajj"], ["\x1b", "\x1b[1;5Ajj"]),
        (["jj\x1b[", "B\x1b[", "Bq"], ["jj\x1b", "\x1b[B\x1b", "\x1b[Bq"]),
        (["\x1b", "j"], ["\x1b", "j"]),
        (["\x1b", "O"], ["\x1b", "O"]),
        (["\x1b", "6"], ["\x1b", "6"]),
        (["\x1b[200~6", "q\x1b[201~"], ["\x1b[200~6", "q\x1b[201~"]),
    ],
)
def test_a_sequence_that_came_in_parts_is_one_key(parts: list[str], got: list[str]) -> None:
    assert fed(*parts) == got


def test_while_the_parser_waits_it_gets_the_rest_as_it_is() -> None:
    joiner = Joiner()
    assert joiner.join("\x1b", 0) == "\x1b"
    assert joiner.join("[", 0.01) == ""
    assert joiner.join("6~", 0.02) == "[6~"


def test_what_comes_much_later_is_something_else() -> None:
    assert fed("\x1b[6", "j", every=PATIENCE) == ["\x1b", "j"]
    assert fed("\x1b", "[", every=PATIENCE) == ["\x1b", "["]


TYPED = "j\x1b[6~\x1b[200~ls \x1b[31mred\x1b[0m\x1b\x1b[201~\x1b[B\x1b[200~x\x1b[201~\x1b"
GIVEN = "j\x1b[6~\x1b[200~ls [31mred[0m\x1b[201~\x1b[B\x1b[200~x\x1b[201~\x1b"


@pytest.mark.parametrize("at", range(len(TYPED)))
def test_what_is_pasted_has_no_escapes_wherever_it_is_split(at: int) -> None:
    pastes = Pastes()
    assert pastes.clean(TYPED[:at]) + pastes.clean(TYPED[at:]) == GIVEN


def test_keys_are_passed_on_at_once() -> None:
    pastes = Pastes()
    assert [pastes.clean(part) for part in ("\x1b", "[20", "j", "\x1b[2")] == [
        "\x1b", "[20", "j", "\x1b[2",
    ]  # fmt: skip
    assert "".join(map(Pastes().clean, TYPED)) == GIVEN
