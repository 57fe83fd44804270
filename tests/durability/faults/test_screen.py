"""What the terminal UI says of a fault, and that it stays alive."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from queuectl_engine import open_engine
from queuectl_engine.repository import open_repository
from tests.durability.faults.conftest import MIB, MakeDisk, StartPool, add, fill
from tests.tui.pty_program import Terminal


def test_a_damaged_file_keeps_its_last_picture_and_is_named(path: Path, tmp_path: Path) -> None:
    add(path, "make all")
    with Terminal(cwd=tmp_path) as terminal:
        terminal.shows("LIVE", "make all")
        with closing(open_repository(str(path))) as repository:
            repository._db.condemn("a page is no page")  # type: ignore[attr-defined]
        terminal.shows("STALE", "queue.db is taken for damaged (a page is no page)", "make all")
        terminal.send("?")
        terminal.shows("Esc")  # the screen is alive
        terminal.send("\x1b")
        with closing(open_repository(str(path))) as repository:
            repository.verify(unclean=False, seconds=0)
        terminal.shows("LIVE", "make all")


def test_the_header_says_that_a_pool_starts_nothing_for_lack_of_space(
    make_disk: MakeDisk, start_pool: StartPool, tmp_path: Path
) -> None:
    disk = make_disk(8 * MIB)
    open_engine(disk / "queue.db", create=True).close()
    start_pool(disk / "queue.db", min_free=4 * MIB)
    filler = fill(disk, leave=2 * MIB)
    add(disk / "queue.db", "make all")
    with Terminal(cwd=disk) as terminal:
        terminal.shows("LIVE", "low space  ", "pool fg-", "make all")
        filler.unlink()
        terminal.shows("LIVE", "Pending 0")
