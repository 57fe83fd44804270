"""Pages of views, and looking through them: walks along indexes, in any store."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from queuectl_engine.filter import Filter
from queuectl_engine.job import State, View
from queuectl_engine.repository.filtering import Filtering
from queuectl_engine.repository.protocol import Key, Matches, Page
from queuectl_engine.repository.rows import Reader, Row, job_of, ms
from queuectl_engine.repository.views import Segment, segments


class Merged(Protocol):
    """See `sqlite.merging.merged`."""

    def __call__(self, *, from_place: bool, backwards: bool) -> str:
        """Its SQL."""


@dataclass(frozen=True, slots=True)
class Paging:
    """Reads views in the SQL of one store.

    `job` are the columns of `job_of`. `index` has a place for the name of the index to use, or none
    where a store finds it by itself. `merged` makes one of a segment that is held by queue: see
    `sqlite.merging`; None where the store holds it in one order.
    """

    job: str
    filtering: Filtering
    index: str
    merged: Merged | None = None

    def page(
        self,
        db: Reader,
        view: View,
        *,
        limit: int,
        at: Key | None,
        backwards: bool,
        queue: str | None,
        states: Collection[State] | None,
        cause: int | None,
    ) -> Page:
        """Neighbours in a view; see `JobRepository.page`. Never an OFFSET, never an OR."""
        more, args = "", dict[str, object]()
        if queue is not None:
            named = self.filtering.value.format("queue")
            more += f" AND queue = (SELECT id FROM queue WHERE name = {named})"
            args["queue"] = queue
        if states is not None:
            among = ", ".join(f"'{state}'" for state in sorted(states))
            more += f" AND state IN ({among})"
        walk = _Walk(self, self.job, more, args, limit, at, backwards)
        rows = walk.along(db, segments(view, cause, states))
        step = -1 if backwards else 1
        return Page(
            tuple(job_of(row) for _, row in rows[::step]), tuple(key for key, _ in rows[::step])
        )

    def scan(
        self,
        db: Reader,
        view: View,
        wanted: Filter,
        *,
        limit: int,
        at: Key | None,
        backwards: bool,
        budget: int,
        cause: int | None = None,
        until: datetime | None = None,
    ) -> Matches:
        """The ids that match among the next `budget` jobs of a view; see `JobRepository.scan`."""
        test, args = self.filtering.condition(wanted)
        if until is not None:
            test += f" AND updated_ms <= {self.filtering.value.format('until')}"
            args = {**args, "until": ms(until)}
        walk = _Walk(self, f"job.id, (true{test})", "", args, budget + 1, at, backwards)
        if view is View.DEAD and cause is None:
            cause = wanted.cause
        rows = walk.along(db, segments(view, cause, None))
        found: list[tuple[Key, int]] = []
        for number, (key, row) in enumerate(rows):
            if len(found) == limit or number == budget:
                return Matches(tuple(found), key)
            if row[1]:
                found.append((key, row[0]))
        return Matches(tuple(found), None)


@dataclass(frozen=True, slots=True)
class _Walk:
    """A walk along segments, in either direction, from a place on: `limit` rows at most."""

    paging: Paging
    columns: str
    more: str
    args: Mapping[str, object]
    limit: int
    at: Key | None
    backwards: bool

    def along(self, db: Reader, segments: Sequence[tuple[int, Segment]]) -> list[tuple[Key, Row]]:
        """The rows with their places, in the direction of the walk."""
        found: list[tuple[Key, Row]] = []
        for number, segment in reversed(segments) if self.backwards else segments:
            if len(found) >= self.limit or (self.at is not None and self._is_before(number)):
                continue
            start = self.at if self.at is not None and number == self.at[0] else None
            rows = self._rows(db, segment, start, self.limit - len(found))
            found += [((number, row[-2], row[-1]), row) for row in rows]
        return found

    def _is_before(self, segment: int) -> bool:
        assert self.at is not None
        return segment > self.at[0] if self.backwards else segment < self.at[0]

    def _rows(self, db: Reader, segment: Segment, start: Key | None, limit: int) -> list[Row]:
        first_falls = segment.first_falls != self.backwards
        id_falls = segment.id_falls != self.backwards
        if segment.by_queue and self.paging.merged and "queue" not in self.args:
            return self._merged(db, self.paging.merged, start, limit)
        index = self.paging.index.format(segment.index) if segment.index else ""
        at_first, at_id, most = map(self.paging.filtering.value.format, ("first", "id", "limit"))
        first, then = ("DESC" if falls else "ASC" for falls in (first_falls, id_falls))
        select = f"""SELECT {self.columns}, {segment.first}, job.id FROM job {index}
                     WHERE {segment.where}{self.more}"""
        order = f"ORDER BY {segment.first} {first}, id {then} LIMIT {most}"
        if start is None:
            return db.run(f"{select} {order}", {**self.args, "limit": limit})
        args = {**self.args, "first": start[1], "id": start[2]}
        # Two ranges of the index: one condition with OR would walk it from its start.
        same = f"{segment.first} = {at_first} AND id {'<=' if id_falls else '>='} {at_id}"
        beyond = f"{segment.first} {'<' if first_falls else '>'} {at_first}"
        rows = db.run(f"{select} AND {same} {order}", {**args, "limit": limit})
        if len(rows) < limit:
            rest = {**args, "limit": limit - len(rows)}
            rows += db.run(f"{select} AND {beyond} {order}", rest)
        return rows

    def _merged(self, db: Reader, merged: Merged, start: Key | None, limit: int) -> list[Row]:
        args = {**self.args, "limit": limit}
        if start is not None:
            args |= {"first": start[1], "id": start[2]}
        line = merged(from_place=start is not None, backwards=self.backwards)
        # CROSS JOIN, which SQLite never turns round, keeps the order in which `line` gives them.
        sql = f"""{line} SELECT {self.columns}, line.first, line.place
                           FROM line CROSS JOIN job ON job.id = line.place WHERE true{self.more}"""
        return db.run(sql, args)
