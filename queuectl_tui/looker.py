"""Taking the next picture of the queue from the last one."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from queuectl_engine import Cause, NoSuchCause
from queuectl_tui.job_reader import WAITING, JobReader
from queuectl_tui.picture import JobPicture, Snapshot, Table, Wanted, Window
from queuectl_tui.reading import Source, read_window, whole
from queuectl_tui.searching import Search
from queuectl_tui.throughput import Throughput

POOLS: Final = 1.0  # seconds between two looks at the pools: a dead one changes no database
_KNOWN: Final = 1_000  # causes that are remembered


class Looker:
    """Reads what is wanted and may have changed. `busy`: a search goes on, so look again soon."""

    def __init__(self) -> None:
        self._seen: Wanted | None = None
        self._pools_at = -POOLS
        self._job = JobReader()
        self._throughput = Throughput()
        self._searches: dict[Table, Search] = {}
        self._known: dict[int, Cause] = {}

    @property
    def busy(self) -> bool:
        """Whether a filter has more to look at."""
        return any(search.busy for search in self._searches.values())

    def forget(self) -> None:
        """Read everything at the next look."""
        self._seen = None

    def look(self, source: Source, wanted: Wanted, last: Snapshot, now: float) -> Snapshot:
        """The queue as it is; `now` is monotonic. Raises what the source raises.

        It is `last` itself when nothing has changed: at rest this is all that is done.
        """
        before, self._seen = self._seen, wanted  # first: a `forget` meanwhile must not be lost
        changed = source.changed() or before is None
        moved = changed or wanted != before
        picture = replace(last, trouble=None) if last.trouble is not None else last
        if moved:
            picture = self._read(source, wanted, picture)
        if changed or now - self._pools_at >= POOLS:
            self._pools_at = now
            picture = self._look_at_pools(source, picture)
        if moved or self._searches:
            picture = self._search(source, wanted, picture, changed=changed, now=now)
            picture = replace(picture, known=self._causes_of(source, picture))
        rate = self._rate(picture, now)
        return picture if rate == picture.rate else replace(picture, rate=rate)

    def _rate(self, picture: Snapshot, now: float) -> float | None:
        if picture.live_pools:
            return self._throughput.note(picture.counts, now)
        self._throughput.rest()
        return None

    def _read(self, source: Source, wanted: Wanted, picture: Snapshot) -> Snapshot:
        windows = {
            table: whole(read_window(source, spot))
            for table, spot in wanted.spots.items()
            if not spot.filter
        }
        detail = None
        if wanted.detail is not None:
            detail = self._job.read(source, wanted.detail, wanted.attempt)
        return replace(
            picture,
            counts=source.counts(),
            windows=windows,
            causes=self._causes(source, wanted, picture),
            detail=detail,
            queues=tuple(source.queues()),
        )

    def _causes(self, source: Source, wanted: Wanted, picture: Snapshot) -> tuple[Cause, ...]:
        return (
            picture.causes if wanted.causes is None else tuple(source.causes(wanted=wanted.causes))
        )

    def _look_at_pools(self, source: Source, picture: Snapshot) -> Snapshot:
        pools = tuple(source.pools())
        if pools == picture.pools:
            return picture
        return replace(picture, pools=pools, detail=self._explained(source, picture.detail))

    def _explained(self, source: Source, detail: JobPicture | None) -> JobPicture | None:
        """Why a job waits depends on the pools, too."""
        if detail is None or detail.job is None or detail.job.state not in WAITING:
            return detail
        job = source.find([detail.id]).get(detail.id)
        return detail if job is None else replace(detail, explained=self._job.explain(source, job))

    def _search(
        self, source: Source, wanted: Wanted, picture: Snapshot, *, changed: bool, now: float
    ) -> Snapshot:
        spots = {table: spot for table, spot in wanted.spots.items() if spot.filter}
        self._searches = {t: s for t, s in self._searches.items() if t in spots}
        windows: dict[Table, Window] = dict(picture.windows)
        for table, spot in spots.items():
            search = self._searches.get(table)
            if search is None or not search.is_for(spot):
                search = self._searches[table] = Search(spot)
            elif changed:
                search.changed(source)
            search.want(source, spot)
            search.step(source, now)
            if search.window is not None:
                windows[table] = search.window
        found = {table: search.tally for table, search in self._searches.items()}
        return replace(picture, windows=windows, found=found)

    def _causes_of(self, source: Source, picture: Snapshot) -> dict[int, Cause]:
        """What the visible dead jobs died of. What a cause says never changes: it is read once."""
        windows = (picture.windows.get(table) for table in (Table.DEAD, Table.CAUSE))
        ids = {job.cause_id for window in windows if window for job in window.jobs}
        if len(self._known) > _KNOWN:
            self._known.clear()
        for cause in ids - {None} - self._known.keys():
            assert cause is not None
            try:
                self._known[cause] = source.cause(cause)
            except NoSuchCause:  # its last dead job has just left
                continue
        return {cause: self._known[cause] for cause in ids if cause in self._known}
