"""Draw the state machine in README from `MOVES`, as everyone outside sees it.

`python docs/make_state_diagram.py` writes it into README; a test fails when they part.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from queuectl_engine.job import OUTWARD, JobState, State
from queuectl_engine.lifecycle import MOVES

README: Final = Path(__file__).parent.parent / "README.md"
BEGIN: Final = "<!-- states: made by docs/make_state_diagram.py -->\n"
END: Final = "<!-- end of states -->\n"

# What makes each move. `delete` leads from everywhere but processing, and is said in words.
WHY: Final = {
    (JobState.PENDING, JobState.PROCESSING): "claim",
    (JobState.PENDING, JobState.CANCELLED): "cancel",
    (JobState.PROCESSING, JobState.COMPLETED): "exit 0",
    (JobState.PROCESSING, JobState.FAILED): "retries left",
    (JobState.PROCESSING, JobState.DEAD): "no retries left",
    (JobState.PROCESSING, JobState.CANCELLED): "cancel",
    (JobState.PROCESSING, JobState.PENDING): "given back, lost",
    (JobState.FAILED, JobState.PENDING): "due, requeue",
    (JobState.FAILED, JobState.CANCELLED): "cancel",
    (JobState.DEAD, JobState.PENDING): "requeue",
    (JobState.CANCELLED, JobState.PENDING): "requeue",
    (JobState.COMPLETED, JobState.PENDING): "requeue",
}


def outward_moves() -> list[tuple[JobState, JobState]]:
    """Every move between two different outward states, in the order of `JobState`."""
    moves = {
        (OUTWARD[before], OUTWARD[after])
        for before, targets in MOVES.items()
        for after in targets
        if State.DELETED not in {before, after}
    }
    order = list(JobState)
    return sorted(
        ((a, b) for a, b in moves if a is not b),
        key=lambda m: (order.index(m[0]), order.index(m[1])),
    )


def diagram() -> str:
    """The block between the two marks in README. A move without a reason is a KeyError."""
    return "\n".join(["```mermaid", *_lines(), "```", ""])


def _lines() -> Iterator[str]:
    yield "stateDiagram-v2"
    yield "    [*] --> pending: add"
    for before, after in outward_moves():
        yield f"    {before} --> {after}: {WHY[before, after]}"


def main() -> None:
    """Put the diagram into README."""
    before, rest = README.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    README.write_text(before + BEGIN + diagram() + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
