"""What a power cut may leave of a database's files, worked out from what its disk was asked to do.

At a cut everything synced is there. Of each later write any part may be: all of them, none, any
subset, and one torn at a sector of 512 bytes. A file that was made or deleted is so for good once
its directory was synced; before that, a number of the last of those is undone, in order. The shared
memory is always gone. Not modelled: a disk that lies about a sync, and sectors that rot.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.durability.disk import Entry, Kind

SECTOR: Final = 512
Image = Mapping[str, bytes]
_Choice = Callable[[Sequence[Entry]], Sequence[Entry]]


@dataclass
class _Inode:
    """Contents: what is safe, and what was written since."""

    safe: bytes = b""
    pending: list[Entry] = field(default_factory=list)

    def sync(self) -> None:
        self.safe = _apply(self.safe, self.pending)
        self.pending = []


@dataclass
class Platter:
    """The files as far as an entry of the log."""

    seed: int
    safe_names: dict[str, _Inode] = field(default_factory=dict)
    names: dict[str, _Inode] = field(default_factory=dict)
    unsafe_names: list[tuple[str, _Inode | None]] = field(default_factory=list)

    def take(self, entry: Entry) -> None:
        """Do what the disk did."""
        match entry.kind:
            case Kind.CREATE:
                self._rename(entry.file, _Inode())
            case Kind.DELETE:
                self._rename(entry.file, None)
            case Kind.SYNC_DIRECTORY:
                self.safe_names, self.unsafe_names = dict(self.names), []
            case Kind.SYNC:
                self.names[entry.file].sync()
            case Kind.WRITE | Kind.TRUNCATE:
                self.names[entry.file].pending.append(entry)

    def images(self, number: int) -> Iterator[Image]:
        """What a cut now may leave: `number` images beside the two extremes."""
        yield self._image(self.names, lambda pending: pending)
        yield self._image(self.safe_names, lambda pending: [])
        dice = random.Random(self.seed)
        self.seed += 1
        for turn in range(number):
            names = self._some_names(dice)
            choose = (_subset, _torn)[turn % 2]
            yield self._image(names, lambda pending, c=choose: c(pending, dice))  # type: ignore[misc]

    def _rename(self, name: str, inode: _Inode | None) -> None:
        self.unsafe_names.append((name, inode))
        if inode is None:
            self.names.pop(name, None)
        else:
            self.names[name] = inode

    def _some_names(self, dice: random.Random) -> dict[str, _Inode]:
        names = dict(self.safe_names)
        for name, inode in self.unsafe_names[: dice.randint(0, len(self.unsafe_names))]:
            if inode is None:
                names.pop(name, None)
            else:
                names[name] = inode
        return names

    def _image(self, names: Mapping[str, _Inode], chosen: _Choice) -> Image:
        return {name: _apply(inode.safe, chosen(inode.pending)) for name, inode in names.items()}


def _subset(pending: Sequence[Entry], dice: random.Random) -> Sequence[Entry]:
    return [entry for entry in pending if dice.random() < 0.5]


def _torn(pending: Sequence[Entry], dice: random.Random) -> Sequence[Entry]:
    """All up to one write, of which some sectors are there."""
    if not pending:
        return []
    last = dice.randrange(len(pending))
    return [*pending[:last], *_sectors(pending[last], dice)]


def _sectors(entry: Entry, dice: random.Random) -> Iterator[Entry]:
    start, stop = entry.offset, entry.offset + len(entry.data)
    while start < stop:
        end = min(stop, (start // SECTOR + 1) * SECTOR)
        if dice.random() < 0.5:
            piece = entry.data[start - entry.offset : end - entry.offset]
            yield entry._replace(offset=start, data=piece)
        start = end


def _apply(safe: bytes, entries: Sequence[Entry]) -> bytes:
    if not entries:
        return safe
    data = bytearray(safe)
    for entry in entries:
        if entry.kind is Kind.TRUNCATE:
            del data[entry.offset :]
            continue
        if len(data) < entry.offset:
            data.extend(bytes(entry.offset - len(data)))
        data[entry.offset : entry.offset + len(entry.data)] = entry.data
    return bytes(data)
