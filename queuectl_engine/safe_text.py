"""Foreign text made harmless for a terminal. Standard library only.

Commands, job output, keys, queue and host names, error texts: whoever writes them may try to move
the cursor, set the clipboard or the title, or reverse the reading direction. Nothing from outside
reaches a screen or a log line before it went through one of these functions. A pipe gets raw data.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

# Characters that draw nothing but change how others are drawn: zero width, bidirectional controls,
# line and paragraph separators, byte order mark, variation and tag characters (Trojan Source,
# CVE-2021-42574). Soft hyphen and the fillers count differently from terminal to terminal.
_INVISIBLE: Final = [
    *[0x00AD, 0x034F, 0x061C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180E, 0x3164, 0xFEFF, 0xFFA0],
    *range(0x200B, 0x2010),
    *range(0x2028, 0x202F),
    *range(0x2060, 0x2070),
    *range(0xFE00, 0xFE10),
    *range(0xFFF0, 0xFFFC),
    *range(0x1D173, 0x1D17B),
    *range(0xE0000, 0xE0FFF + 1),
]


def _picture(code: int) -> str:
    if code < 0x20:
        return chr(0x2400 + code)  # U+2400 CONTROL PICTURES
    if code == 0x7F:
        return "\u2421"
    return f"<{code:02X}>" if code < 0x100 else f"<U+{code:04X}>"


_IGNORED: Final = dict.fromkeys([0x07, 0x08, 0x0B, 0x0C, 0x0E, 0x0F], "")


@cache  # 6,000 entries, which a program that meets only plain text need not make
def _shown() -> dict[int, str]:
    controls = [*range(0x20), *range(0x7F, 0xA0), *_INVISIBLE, *range(0xD800, 0xE000)]
    return {code: _picture(code) for code in controls}


@cache
def _shown_in_output() -> dict[int, str]:
    return {**_shown(), **_IGNORED, 0x09: "\t", 0x0A: "\n", 0x0D: "\r"}


@cache
def _on_one_line() -> dict[int, str]:
    return {**_shown(), 0x0A: "\u23ce", 0x09: " "}


# ECMA-48 sequences: OSC, DCS, SOS, PM and APC strings up to their end; CSI; the other escapes.
_SEQUENCES: Final = (
    r"(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|\x1b[ -/]*[0-~]?"
)
_TAB_STOP: Final = 8


def safe_text(text: str | bytes) -> str:
    """One harmless line: nothing is hidden, each control character becomes a visible picture.

    For commands, names, keys, reasons and errors. A newline shows as a return sign.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    if text.isprintable() and text.isascii():  # the common case, at a tenth of the cost
        return text
    return text.translate(_on_one_line())


def safe_output(data: str | bytes) -> str:
    """Job output as harmless lines: escape sequences are dropped, progress bars folded.

    Lines end in a single newline; of what a carriage return overwrote only the last state is left;
    tabs are expanded. What is left of the controls becomes visible as in `safe_text`.
    """
    text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
    if not (text.isprintable() and text.isascii()):
        text = re.sub(_SEQUENCES, "", text)  # which compiles it once
        text = text.translate(_shown_in_output())
    return "\n".join(_last_state(line).expandtabs(_TAB_STOP) for line in text.split("\n"))


def _last_state(line: str) -> str:
    line = line.rstrip("\r")
    return line[line.rfind("\r") + 1 :]
