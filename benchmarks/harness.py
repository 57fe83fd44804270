"""What all questions share: interleaved rounds, figures with their spread, ratios to one case."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

Case = Callable[[], float]

ROUNDS: Final = 5
QUICK_ROUNDS: Final = 2


@dataclass(frozen=True)
class Bench:
    """How thoroughly to ask, and where to work: on the disk, not in memory."""

    quick: bool
    root: Path

    @property
    def rounds(self) -> int:
        """How often each case runs."""
        return QUICK_ROUNDS if self.quick else ROUNDS

    def size(self, full: int, quick: int) -> int:
        """How much work a case does."""
        return quick if self.quick else full

    @contextmanager
    def directory(self) -> Iterator[Path]:
        """An empty directory for one case, gone afterwards."""
        # A server that a peer left behind may still be writing there.
        with TemporaryDirectory(dir=self.root, ignore_cleanup_errors=True) as name:
            yield Path(name)


@dataclass
class Answer:
    """The figures of one question: of each case one a round, in `unit`.

    `base` is the case that the others are compared with. `goals` says what is asked of a case,
    `skipped` why one could not run. `text` goes into the report below the table.
    """

    title: str
    unit: str
    base: str | None = None
    figures: dict[str, list[float]] = field(default_factory=dict)
    goals: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    text: str = ""
    plot: list[dict[str, Any]] = field(default_factory=list)

    def ask(self, cases: Mapping[str, Case], rounds: int) -> None:
        """Run all cases in turn, that many times: what disturbs a round disturbs all of them.

        A case that cannot run is skipped with its reason.
        """
        left = dict(cases)
        for number in range(rounds):
            for name, case in list(left.items()):
                sys.stderr.write(f"  round {number + 1}/{rounds}: {name}\n")
                try:
                    self.figures.setdefault(name, []).append(case())
                except Skip as why:
                    self.skipped[name] = str(why)
                    self.figures.pop(name, None)
                    del left[name]

    def ratios(self, name: str) -> list[float]:
        """Of a case to the base, round by round."""
        base = self.figures.get(self.base or "", [])
        return [one / other for one, other in zip(self.figures[name], base, strict=False) if other]


class Skip(Exception):
    """Why a case cannot run here."""


def spread(values: list[float]) -> tuple[float, float, float]:
    """Median, lowest and highest."""
    return median(values), min(values), max(values)


def percentile(values: list[float], share: float) -> float:
    """The value that this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
