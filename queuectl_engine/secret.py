"""Values that jobs need and that no database, list, log or backup may hold.

Each is a file of its own name, in a directory that only its user can enter. The job stores the
name; the worker that starts it reads the value, as its pool's user.
"""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING, Final

from queuectl_engine import private
from queuectl_engine.errors import BadInput, NoSuchSecret, StorageError, UnsafeStorage
from queuectl_engine.safe_text import safe_text

if TYPE_CHECKING:
    from pathlib import Path

LARGEST: Final = 64 * 1024  # bytes; Linux takes 128 KiB for a variable, execve(2)
MOST: Final = 50  # of one job
_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]{0,99}"
_OURS: Final = "QUEUECTL_"


def check_secret(name: object) -> str:
    """The name. Raises BadInput unless it can name a secret: as a variable, and not one of ours."""
    if not isinstance(name, str) or not re.fullmatch(_NAME, name):
        raise BadInput(
            f"secret '{safe_text(str(name)[:40])}' must be 1 to 100 letters, digits and _"
        )
    if name.startswith(_OURS):
        raise BadInput(f"secret {name}: {_OURS}* are set by queuectl itself; use another name")
    return name


class Secrets:
    """The secrets of one user: a directory, of which nothing is kept in memory."""

    def __init__(self, directory: str | Path) -> None:
        """Touches nothing."""
        from pathlib import Path

        self.directory = Path(directory)

    def names(self) -> list[str]:
        """What is stored, by name. Raises StorageError."""
        try:
            found = os.listdir(self.directory)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(
                f"cannot look into {safe_text(str(self.directory))}: {error.strerror}"
            ) from error
        return sorted(name for name in found if re.fullmatch(_NAME, name))

    def value(self, name: str) -> str:
        """What a job gets, without a newline at its end. The value is in no error.

        Raises NoSuchSecret, UnsafeStorage for a file that others can read or a directory that they
        can change, StorageError.
        """
        path = self.directory / check_secret(name)
        try:
            self._check_directory()
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            with open(descriptor, "rb") as file:
                _refuse_open(path, os.fstat(descriptor))
                data = file.read(LARGEST + 1)
        except FileNotFoundError:
            raise NoSuchSecret(
                f"no secret {name}; store it with 'queuectl secret set {name}'"
            ) from None
        except OSError as error:
            raise StorageError(
                f"cannot read secret {name}, {safe_text(str(path))}: {error.strerror}"
            ) from error
        return os.fsdecode(_checked(name, data))

    def put(self, name: str, value: bytes) -> None:
        """Store a value, instead of what was stored. Raises BadInput, UnsafeStorage, StorageError.

        A job that starts meanwhile gets the old one or the new one, never a part.
        """
        path = self.directory / check_secret(name)
        value = _checked(name, value)
        private.make_directory(str(self.directory))
        self._check_directory()
        new = self.directory / f".{name}.{os.urandom(8).hex()}"
        try:
            with open(private.open_file(new, os.O_WRONLY | os.O_EXCL), "wb") as file:
                file.write(value)
                file.flush()
                os.fsync(file.fileno())
            os.replace(new, path)
        except OSError as error:
            new.unlink(missing_ok=True)
            raise StorageError(f"cannot write {safe_text(str(path))}: {error.strerror}") from error

    def remove(self, name: str) -> None:
        """Forget a value. Raises NoSuchSecret, StorageError."""
        try:
            (self.directory / check_secret(name)).unlink()
        except FileNotFoundError:
            raise NoSuchSecret(f"no secret {name}; 'queuectl secret list' shows them") from None
        except OSError as error:
            raise StorageError(f"cannot remove secret {name}: {error.strerror}") from error

    def _check_directory(self) -> None:
        private.check_above(os.path.realpath(self.directory))


def _checked(name: str, data: bytes) -> bytes:
    value = data.removesuffix(b"\n")
    if not value:
        raise BadInput(f"secret {name} is empty; type its value, or pipe it into 'secret set'")
    if b"\0" in value:
        raise BadInput(f"secret {name} contains a NUL character, which no program can receive")
    if len(value) > LARGEST:
        raise BadInput(f"secret {name} is longer than {LARGEST} bytes; put it into a file")
    return value


def _refuse_open(path: Path, info: os.stat_result) -> None:
    where = safe_text(str(path))
    if not stat.S_ISREG(info.st_mode):
        raise UnsafeStorage(f"{where} is no regular file; remove it and set the secret again")
    if info.st_uid not in (os.getuid(), 0):
        raise UnsafeStorage(f"{where} belongs to another user; set the secret again")
    if info.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UnsafeStorage(f"others can read {where}; try: chmod 600 {where}")
