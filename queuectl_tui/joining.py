"""Putting escape sequences together again that a slow link has split. Pure.

`Esc [ 6 ~` that arrives in two parts is one key, PgDn; taken apart it would be Esc and the command
`6`. The parser waits a tenth of a second for the rest of a sequence, a bad link takes longer.
"""

from __future__ import annotations

import re
from typing import Final

PATIENCE: Final = 2.0  # seconds for which the rest of a sequence is waited for
_SEQUENCE: Final = re.compile(r"\[[0-?]*[ -/]*(?P<final>[@-~])?")  # ECMA-48 5.4, after its Esc
_BEGUN: Final = re.compile(r"\x1b(?P<rest>\[[0-?]*[ -/]*)?$")


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
