"""Exit codes as people write them, `75,124` or `64-78`, and as a rule holds them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

from queuectl_engine.errors import BadInput
from queuectl_engine.safe_text import safe_text

HIGHEST: Final = 255  # of an exit status, wait(2)
_RANGE: Final = r"\s*(\d{1,3})\s*(?:-\s*(\d{1,3})\s*)?"


def parse_exit_codes(text: str) -> tuple[int, ...]:
    """Codes and ranges with commas between them; nothing is none. Raises BadInput."""
    if not text.strip():
        return ()
    codes: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(_RANGE, part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last:
            raise BadInput(f"'{safe_text(part.strip())}' is no exit code; try 75,124 or 64-78")
        codes += range(first, last + 1)  # 999 at most
    return checked_exit_codes(codes)


def checked_exit_codes(codes: Iterable[object]) -> tuple[int, ...]:
    """Each once, in order. Raises BadInput for what no failed command can exit with."""
    distinct: set[int] = set()
    for code in codes:
        if not isinstance(code, int) or isinstance(code, bool) or not 1 <= code <= HIGHEST:
            why = "0 is success" if code == 0 else f"they go from 1 to {HIGHEST}"
            raise BadInput(f"exit code {safe_text(str(code))} cannot fail a job: {why}")
        distinct.add(code)
    return tuple(sorted(distinct))


def exit_codes_text(codes: Sequence[int]) -> str:
    """The shortest way to write sorted codes: `64-78,124`."""
    if not codes:  # the rule for most jobs, millions at once
        return ""
    ends = [a for a, b in pairwise(codes) if b != a + 1] + list(codes[-1:])
    starts = list(codes[:1]) + [b for a, b in pairwise(codes) if b != a + 1]
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))
