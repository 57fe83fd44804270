"""Nothing that could steer a terminal survives, whatever text comes in."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl_engine.safe_text import safe_output, safe_text

# Text made of what attacks are made of, between ordinary letters.
HOSTILE = st.lists(
    st.one_of(
        st.sampled_from(
            ["\x1b", "\x1b[", "\x1b]", "\x1bP", "\x1b\\", "\x9b", "\x9d", "\x90", "\x9c", "\x07"]
        ),
        st.sampled_from(["\r", "\n", "\t", "\b", "\0", "\x7f", "\x85", "\u2028", "\ufeff"]),
        st.sampled_from(["52;c;aGk=", "0;title", "2J", "31m", ";", "?", "A", "[", "]", "\\"]),
        st.characters(),
    ),
    max_size=30,
).map("".join)
# Controls (Cc), line and paragraph separators (Zl, Zp), surrogates (Cs).
FORBIDDEN = {"Cc", "Zl", "Zp", "Cs"}
INVISIBLE = (
    "\u200b\u200c\u200d\u200e\u200f\u061c\u202a\u202e\u2060\u2066\u2069\ufeff\u00ad\U000e0041"
)


def is_harmless(text: str) -> bool:
    return not any(
        unicodedata.category(character) in FORBIDDEN or character in INVISIBLE for character in text
    )


@given(HOSTILE)
def test_one_line_of_any_text_is_harmless(text: str) -> None:
    assert is_harmless(safe_text(text))


@given(st.binary(max_size=60))
def test_one_line_of_any_bytes_is_harmless(data: bytes) -> None:
    assert is_harmless(safe_text(data))


@given(HOSTILE)
def test_output_of_any_text_is_harmless_but_for_its_newlines(text: str) -> None:
    assert is_harmless(safe_output(text).replace("\n", ""))


@given(st.binary(max_size=60))
def test_output_of_any_bytes_is_harmless_but_for_its_newlines(data: bytes) -> None:
    assert is_harmless(safe_output(data).replace("\n", ""))


@given(HOSTILE)
def test_making_it_safe_twice_changes_nothing(text: str) -> None:
    assert safe_text(safe_text(text)) == safe_text(text)
    assert safe_output(safe_output(text)) == safe_output(text)


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"])))
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert safe_text(text) == safe_output(text) == text


@pytest.mark.parametrize(
    "character", [chr(code) for code in [*range(0x20), 0x7F, *range(0x80, 0xA0)]]
)
def test_every_control_character_becomes_visible_in_a_line(character: str) -> None:
    shown = safe_text(f"a{character}b")

    assert shown.startswith("a")
    assert shown.endswith("b")
    assert shown == "a b" if character == "\t" else len(shown) >= 3
    assert shown.isprintable()


@pytest.mark.parametrize("character", INVISIBLE)
def test_what_draws_nothing_or_turns_the_direction_becomes_visible(character: str) -> None:
    assert safe_text(f"a{character}b") == f"a<U+{ord(character):04X}>b".replace("<U+00AD>", "<AD>")


def test_letters_of_any_script_stay() -> None:
    text = "Grüße, 你好, שלום, नमस्ते, e\u0301, 👍"

    assert safe_text(text) == text
    assert safe_output(text) == text


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("a\nb", "a\u23ceb"),
        ("a\tb", "a b"),
        ("\x1b[31mred", "\u241b[31mred"),
        ("x\x9b2Jy", "x<9B>2Jy"),
        ("\udcff", "<U+DCFF>"),
        (b"caf\xc3\xa9 \xff", "caf\u00e9 \ufffd"),
    ],
)
def test_a_line_hides_nothing(raw: str | bytes, shown: str) -> None:
    assert safe_text(raw) == shown


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),  # CSI: colours
        ("a\x1b[2J\x1b[Hb", "ab"),  # CSI: clear the screen
        ("\x9b31mred", "red"),  # CSI as one C1 character
        ("\x1b[?1049hx\x1b[?25l", "x"),
        ("a\x1b]0;title\x07b", "ab"),  # OSC, ended by BEL
        ("a\x1b]52;c;aGk=\x1b\\b", "ab"),  # OSC, ended by ST: sets the clipboard
        ("a\x9d0;t\x9cb", "ab"),
        ("a\x1bPq#0;2;0;0\x1b\\b", "ab"),  # DCS: sixel
        ("a\x1b_Gf=100;AAAA\x1b\\b", "ab"),  # APC
        ("a\x1bcb", "ab"),  # reset the terminal
        ("a\x1b(0b", "ab"),  # another character set
        ("a\x1b", "a"),
        ("a\x1b[", "a"),
        ("bell\x07 back\x08", "bell back"),
    ],
)
def test_escape_sequences_are_dropped_from_output(raw: str, shown: str) -> None:
    assert safe_output(raw) == shown


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("10%\r20%\r30%", "30%"),
        ("10%\r20%\r\ndone\n", "20%\ndone\n"),
        ("dos\r\nlines\r\n", "dos\nlines\n"),
        ("\x1b[2K\r50%\x1b[0m\r100%\n", "100%\n"),
        ("a\tb", "a       b"),
        ("a\n\nb", "a\n\nb"),
        ("nul\0", "nul\u2400"),
        (b"bad \xff\n", "bad \ufffd\n"),
    ],
)
def test_output_is_folded_to_what_a_person_would_have_seen(raw: str | bytes, shown: str) -> None:
    assert safe_output(raw) == shown
