"""A line of text as it is typed: what every prompt edits. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from queuectl_engine import safe_text


@dataclass(frozen=True, slots=True)
class Typed:
    """The text, and where the next character goes."""

    text: str = ""
    at: int = 0

    def insert(self, text: str) -> Typed:
        """Type text; what a terminal would not draw as itself is left out."""
        added = "".join(char for char in text.replace("\t", " ") if safe_text(char) == char)
        return Typed(self.text[: self.at] + added + self.text[self.at :], self.at + len(added))

    def edit(self, key: str) -> Typed | None:
        """What an editing key makes of it; None for a key that edits nothing."""
        match key:
            case "left" | "ctrl+b":
                return replace(self, at=max(self.at - 1, 0))
            case "right" | "ctrl+f":
                return replace(self, at=min(self.at + 1, len(self.text)))
            case "home" | "ctrl+a":
                return replace(self, at=0)
            case "end" | "ctrl+e":
                return replace(self, at=len(self.text))
            case "backspace" | "ctrl+h":
                return self._without(max(self.at - 1, 0), self.at)
            case "delete" | "ctrl+d":
                return self._without(self.at, self.at + 1)
            case "ctrl+u":
                return self._without(0, self.at)
            case "ctrl+k":
                return self._without(self.at, len(self.text))
            case "ctrl+w":
                kept = self.text[: self.at].rstrip()
                return self._without(kept.rfind(" ") + 1, self.at)
        return None

    def _without(self, start: int, end: int) -> Typed:
        return Typed(self.text[:start] + self.text[end:], start)


def typed(text: str) -> Typed:
    """A line with the cursor at its end."""
    return Typed(text, len(text))
