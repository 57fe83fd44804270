"""Which versions of the SQLite library may be used: not those that have the WAL-reset bug.

3.7.0-3.51.2 lose committed data when one connection checkpoints while another commits. So we use
apsw, which brings its own, and not the standard library's module, which links the system's.
"""

from __future__ import annotations

from typing import Final

from queuectl_engine.errors import UnsafeStorage

_FIRST_FIXED: Final = (3, 51, 3)
_WITHDRAWN: Final = (3, 52, 0)
_BACKPORTED: Final[dict[tuple[int, ...], int]] = {(3, 50): 7, (3, 44): 6}


def check_library(version: str) -> None:
    """Refuse a SQLite library that has the bug. Raises UnsafeStorage."""
    numbers = tuple(int(part) for part in version.split("."))
    release = numbers[:2]
    fixed = numbers >= _FIRST_FIXED and numbers[:3] != _WITHDRAWN
    if not fixed and numbers[2] < _BACKPORTED.get(release, numbers[2] + 1):
        raise UnsafeStorage(
            f"this Python's apsw links SQLite {version}, which can lose committed jobs; "
            f"run: pip install --upgrade 'apsw>=3.53.4'"
        )
