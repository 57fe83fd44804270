"""Which jobs an act is about, and how to speak of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from queuectl_engine import Cause, Selection, View
from queuectl_tui.table import JobTable


@dataclass(frozen=True, slots=True)
class Target:
    """`job` is set when it is a single one, `cause` when all of a cause are meant.

    `view` is the table that they were chosen in; `hidden` of them are marked and out of sight.
    `known` is how many a view holds or a filter lets through, where that was counted.
    """

    selection: Selection
    view: View | None = None
    job: int | None = None
    cause: Cause | None = None
    hidden: int = 0
    known: int | None = None

    @property
    def ids(self) -> tuple[int, ...]:
        """The jobs, where they were named one by one."""
        return self.selection.ids


def one(job: int, view: View | None = None) -> Target:
    """A single job."""
    return Target(Selection(ids=(job,)), view, job=job)


def marked(table: JobTable, causes: Sequence[Cause], known: int | None) -> Target | None:
    """What is marked in a table, of which `known` jobs are shown; None when nothing is marked."""
    if table.all_marked and table.cause is not None and not table.filter:
        cause = next((each for each in causes if each.id == table.cause), None)
        return Target(Selection(cause=table.cause), table.view, cause=cause)
    if table.all_marked:
        return Target(Selection(view=table.view, filter=table.searched), table.view, known=known)
    if not table.marks:
        return None
    ids = tuple(sorted(table.marks))
    only = ids[0] if len(ids) == 1 else None
    return Target(Selection(ids=ids), table.view, job=only, hidden=table.out_of_sight())


def of_cause(cause: Cause) -> Target:
    """All that are dead of a cause."""
    return Target(Selection(cause=cause.id), View.DEAD, cause=cause)
