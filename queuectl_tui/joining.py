"""Putting escape sequences together again that a slow link has split; none in what is pasted. Pure.

`Esc [ 6 ~` that arrives in two parts is one key, PgDn; taken apart it would be Esc and the command
`6`. The parser waits a tenth of a second for the rest of a sequence, a bad link takes longer.
"""

from __future__ import annotations

import re
from typing import Final

PATIENCE: Final = 2.0  # seconds for which the rest of a sequence is waited for
_SEQUENCE: Final = re.compile(r"\[[0-?]*[ -/]*(?P<final>[@-~])?")  # ECMA-48 5.4, after its Esc
_BEGUN: Final = re.compile(r"\x1b(?P<rest>\[[0-?]*[ -/]*)?$")

_PASTE: Final = "\x1b[200~"
_PASTED: Final = "\x1b[201~"


class Joiner:
    """Holds back the rest of a sequence until it is complete. An Esc itself is never held."""

    def __init__(self) -> None:
        self._rest = ""  # what has come of a sequence, without its Esc
        self._begun_at: float | None = None
        self._let_go = False

    def let_go(self) -> None:
        """The parser has waited long enough and taken the Esc for the key of that name."""
        self._let_go = True

    def join(self, data: str, now: float) -> str:
        """What the parser may have of this input; `now` is monotonic."""
        begun = self._begun_at is not None and now - self._begun_at < PATIENCE
        text = self._rest + data if begun else data
        self._rest = ""
        if begun and (sequence := _SEQUENCE.match(text)):
            if sequence["final"] is None and sequence.end() == len(text):
                self._rest = text
                return ""
            if self._let_go:
                text = "\x1b" + text
        tail = _BEGUN.search(text)
        self._begun_at, self._let_go = (now if tail else None), False
        if tail and tail["rest"]:
            self._rest = tail["rest"]
            return text[: tail.start("rest")]
        return text


class Pastes:
    """Takes each Esc out of what is pasted: the parser would take what follows it for keys."""

    def __init__(self) -> None:
        self._inside = False
        self._before = ""  # the end of what the parser has, where a paste may have begun
        self._held = ""  # what may be the end of the paste

    def clean(self, text: str) -> str:
        """What the parser may have of this input."""
        passed, text = "", self._held + text
        self._held = ""
        while text:
            if self._inside:
                pasted, end, text = text.partition(_PASTED)
                if not end:
                    self._held = _begun(pasted)
                    pasted = pasted.removesuffix(self._held)
                self._inside = not end
                passed += pasted.replace("\x1b", "") + end
            else:
                typed, begin, text = (self._before + text).partition(_PASTE)
                passed += (typed + begin).removeprefix(self._before)
                self._inside = bool(begin)
                self._before = "" if begin else typed[1 - len(_PASTE) :]
        return passed


def _begun(text: str) -> str:
    """The end of a text with which the end of a paste may begin."""
    starts = (_PASTED[:length] for length in range(len(_PASTED) - 1, 0, -1))
    return next(filter(text.endswith, starts), "")
