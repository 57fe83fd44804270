"""Files that only we can read, and that nobody else can replace.

Whoever can write a queue, its configuration or a directory above them runs commands as us: the
rule is that of sshd's StrictModes and of PostgreSQL's data directory. Standard library only.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import Final

from queuectl_engine.errors import StorageError, UnsafeStorage
from queuectl_engine.safe_text import safe_text

FILE: Final = 0o600
DIRECTORY: Final = 0o700
_NEVER_A_LINK: Final = os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
_WHOLE_MAP: Final = ["0", "0", "4294967295"]  # of the first user namespace


def open_file(path: str | os.PathLike[str], flags: int) -> int:
    """`os.open` for a file of ours alone, made when it is missing; never through a link.

    The mode is exact whatever the umask. Raises OSError.
    """
    descriptor = os.open(path, flags | os.O_CREAT | _NEVER_A_LINK, FILE)
    try:
        info = os.fstat(descriptor)
        if stat.S_ISREG(info.st_mode) and stat.S_IMODE(info.st_mode) != FILE:
            os.fchmod(descriptor, FILE)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def make_file(path: str) -> bool:
    """Make an empty file that only we can read; False when there was one.

    Of a database it must happen before any connection of this process to it: closing a second
    descriptor would drop its locks (https://sqlite.org/howtocorrupt.html, 2.2).
    """
    try:
        os.close(open_file(path, os.O_WRONLY | os.O_EXCL))
    except FileExistsError:
        return False
    except OSError as error:
        raise StorageError(f"cannot make {safe_text(path)}: {error.strerror}") from error
    return True


def make_directory(path: str, *, allow_owner: bool = False) -> None:
    """Make a directory, and those above it, that only we can enter. Raises StorageError.

    UnsafeStorage where others could replace what is made; then nothing is.
    """
    if os.path.isdir(path):
        check_above(os.path.realpath(path), allow_owner=allow_owner)
        return
    make_directory(os.path.dirname(path), allow_owner=allow_owner)
    try:
        os.mkdir(path, DIRECTORY)
        os.chmod(path, DIRECTORY)  # whatever the umask
        _sync(os.path.dirname(path) or ".")
    except FileExistsError:  # another process was faster
        return
    except OSError as error:
        raise StorageError(f"cannot make {safe_text(path)}: {error.strerror}") from error


def _sync(directory: str) -> None:
    """Let a power cut not undo what was made in it; one that we may only enter cannot be synced."""
    with suppress(PermissionError):
        descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def check_above(directory: str, *, allow_owner: bool = False) -> None:
    """Refuse a directory, without links in its path, that others could change or replace.

    A directory that all may write is accepted when it is sticky, as /tmp: there only its owner
    can replace a file. `allow_owner`: other users may own it. Raises UnsafeStorage.
    """
    while True:
        info = os.lstat(directory)
        _refuse_owner(directory, info, allow_owner=allow_owner)
        if not info.st_mode & stat.S_ISVTX:
            _refuse_writers(directory, info)
        above = os.path.dirname(directory)
        if above == directory:
            return
        directory = above


def check_file(path: str, info: os.stat_result, *, allow_owner: bool = False) -> None:
    """Refuse a file that others own or can write. Raises UnsafeStorage."""
    if stat.S_ISLNK(info.st_mode):
        raise UnsafeStorage(f"{safe_text(path)} is a symbolic link; remove it")
    _refuse_owner(path, info, allow_owner=allow_owner)
    _refuse_writers(path, info)


def read_text(path: str | os.PathLike[str]) -> str:
    """A file that says what runs: UTF-8, and not another user's.

    Raises UnsafeStorage, OSError, UnicodeDecodeError.
    """
    with open(path, encoding="utf-8") as file:
        info = os.fstat(file.fileno())
        _refuse_owner(os.fspath(path), info, remedy="make one of your own")
        _refuse_writers(os.fspath(path), info)
        return file.read()


def _refuse_owner(
    path: str,
    info: os.stat_result,
    *,
    allow_owner: bool = False,
    remedy: str = "if that is wanted, add --allow-owner",
) -> None:
    owner = info.st_uid
    if allow_owner or owner in (os.getuid(), 0) or _is_unmapped(owner, info):
        return
    raise UnsafeStorage(
        f"{safe_text(path)} belongs to {_name(owner)}, who could run commands as "
        f"{_name(os.getuid())}; {remedy}"
    )


def _refuse_writers(path: str, info: os.stat_result) -> None:
    others = info.st_mode & stat.S_IWOTH
    if others or (info.st_mode & stat.S_IWGRP and not _is_private_group(info)):
        who = "others" if others else "its group"
        raise UnsafeStorage(
            f"{who} can write {safe_text(path)} and so run commands as us; "
            f"try: chmod go-w {safe_text(path)}"
        )


def _is_private_group(info: os.stat_result) -> bool:
    """Whether it is the owner's own group, which many systems give to each user alone."""
    import grp
    import pwd

    try:
        group, owner = grp.getgrgid(info.st_gid), pwd.getpwuid(info.st_uid)
    except KeyError:
        return False
    alone = set(group.gr_mem) <= {owner.pw_name}
    return info.st_gid == owner.pw_gid and group.gr_name == owner.pw_name and alone


def _is_unmapped(owner: int, info: os.stat_result) -> bool:
    """Whether it is a directory of the system around our user namespace, which has no number."""
    if not stat.S_ISDIR(info.st_mode):
        return False
    try:
        with open("/proc/sys/kernel/overflowuid", encoding="ascii") as file:
            nobody = int(file.read())
        with open("/proc/self/uid_map", encoding="ascii") as file:
            known = file.read().split()
    except (OSError, ValueError):
        return False
    return owner == nobody and known != _WHOLE_MAP


def _name(uid: int) -> str:
    import pwd

    try:
        return safe_text(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return f"user {uid}"
