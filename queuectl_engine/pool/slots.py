"""Slots: each job that a pool runs has a number of its own, and what belongs to that number.

A slot follows from the worker's number, which no other gets until nothing of that worker is left.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from queuectl_engine.errors import BadInput
from queuectl_engine.safe_text import safe_text

PerSlot = tuple[tuple[str, tuple[str, ...]], ...]  # variables, each with a value for each slot
SLOT_VARIABLE: Final = "QUEUECTL_SLOT"
MOST_SLOTS: Final = 1_000  # of one worker: each job takes three of its descriptors
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def parse_per_slot(text: str) -> tuple[str, tuple[str, ...]]:
    """`NAME=0,1`: a value for each slot. Values that hold commas have `;` between them.

    Raises BadInput.
    """
    name, equals, values = text.partition("=")
    if not equals:
        raise BadInput(f"'{safe_text(text)}' has no values; try CUDA_VISIBLE_DEVICES=0,1")
    return name, tuple(values.split(";" if ";" in values else ","))


def check_per_slot(per_slot: PerSlot, workers: int, slots: int) -> None:
    """Raise BadInput unless every variable has a name, and as many values as the others."""
    counts = {name: len(values) for name, values in per_slot}
    for name, values in per_slot:
        if not _NAME.fullmatch(name) or name.startswith("QUEUECTL_"):
            raise BadInput(f"'{safe_text(name)}' cannot be set per slot; use another name")
        if any("\0" in value for value in values):
            raise BadInput(f"a value of {name} contains a NUL character, which no program can get")
    if len(counts) < len(per_slot):
        raise BadInput("--per-slot sets a variable twice; give it all its values at once")
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise BadInput(f"--per-slot wants as many values for each variable: {told}")
    most = most_workers(per_slot, slots)
    if most is not None and workers > most:
        each = "worker" if slots == 1 else f"of the {slots} slots of each worker"
        raise BadInput(
            f"{workers} workers and values for {most}; give --per-slot a value for each {each}"
        )


def most_workers(per_slot: PerSlot, slots: int) -> int | None:
    """How many workers a pool can have so that each slot has its values; None for any number."""
    return len(per_slot[0][1]) // slots if per_slot else None


def free_slot(worker_number: int, slots: int, taken: Collection[int]) -> int:
    """The lowest slot of a worker, counted from 1, that none of its running jobs has."""
    first = (worker_number - 1) * slots
    if not taken:
        return first
    return next(slot for slot in range(first, first + slots) if slot not in taken)


def slot_environment(slot: int, per_slot: PerSlot) -> dict[str, str]:
    """What a job in this slot gets."""
    return {SLOT_VARIABLE: str(slot), **{name: values[slot] for name, values in per_slot}}
