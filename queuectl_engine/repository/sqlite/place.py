"""Where a database file may be, and who may be able to touch it. Looks at paths, opens no database.

A queue that others can write is a way to run commands as us (StrictModes of sshd has the same
rule); WAL needs shared memory and working locks, which network file systems do not have.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path
from typing import Final

from queuectl_engine.errors import NotAQueue, StorageError, UnsafeStorage
from queuectl_engine.safe_text import safe_text

# https://sqlite.org/useovernet.html: locks and syncs cannot be relied on there.
_NETWORK: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "fuse.sshfs", "fuse.rclone",
     "fuse.s3fs", "fuse.gcsfuse", "fuse.glusterfs", "glusterfs", "lustre", "gpfs", "beegfs",
     "ocfs2", "gfs2", "vboxsf", "prl_fs", "davfs", "fuse.davfs2"}
)  # fmt: skip


def canonical(location: str) -> str:
    """The path with its directory resolved, so that every process means the same file.

    Raises NotAQueue for a name that SQLite cannot take.
    """
    if "\0" in location or location != location.encode("utf-8", "replace").decode():
        raise NotAQueue(f"the name {safe_text(location)} is not valid UTF-8; choose another one")
    path = Path(location)
    return os.path.join(os.path.realpath(path.parent), path.name)


def check_place(path: str) -> None:
    """Refuse a path that holds no file of ours alone, on a local disk.

    Raises NotAQueue when there is no such file, UnsafeStorage otherwise.
    """
    try:
        info = os.lstat(path)
    except FileNotFoundError:
        raise NotAQueue(
            f"no database at {safe_text(path)}; 'queuectl initdb --db {safe_text(path)}' makes one"
        ) from None
    except OSError as error:
        raise StorageError(f"cannot use {safe_text(path)}: {error.strerror}") from error
    if stat.S_ISDIR(info.st_mode):
        raise NotAQueue(f"{safe_text(path)} is a directory; name a file in it")
    if stat.S_ISLNK(info.st_mode):
        raise UnsafeStorage(f"{safe_text(path)} is a symbolic link; name the file it points to")
    if not stat.S_ISREG(info.st_mode):
        raise NotAQueue(f"{safe_text(path)} is no regular file")
    _refuse_others(path, info)
    _refuse_planted(path)
    check_directory(os.path.dirname(path))


def check_directory(directory: str) -> None:
    """Refuse a directory in which others could replace the file, or one across a network."""
    try:
        info = os.stat(directory)
    except FileNotFoundError:
        raise NotAQueue(f"no directory {safe_text(directory)}; make it first") from None
    except OSError as error:
        raise StorageError(f"cannot use {safe_text(directory)}: {error.strerror}") from error
    if not info.st_mode & stat.S_ISVTX:  # in a sticky directory only the owner replaces a file
        _refuse_others(directory, info)
    if (kind := file_system(directory)) in _NETWORK:
        raise UnsafeStorage(
            f"{safe_text(directory)} is on a network file system ({kind}), which loses data; "
            f"use a local path such as {Path.home() / '.local/share/queuectl/queue.db'}"
        )


def make_file(path: str) -> bool:
    """Make an empty file that only we can read, whatever the umask; False when there was one.

    Must happen before any connection of this process to it: closing a second descriptor of an
    open database would drop its locks (https://sqlite.org/howtocorrupt.html, 2.2).
    """
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileExistsError:
        return False
    except OSError as error:
        raise StorageError(f"cannot make {safe_text(path)}: {error.strerror}") from error
    os.fchmod(descriptor, 0o600)
    os.close(descriptor)
    return True


def make_directory(path: str) -> None:
    """Make a directory, and those above it, that only we can enter."""
    if os.path.isdir(path):
        return
    make_directory(os.path.dirname(path))
    try:
        os.mkdir(path, 0o700)
        os.chmod(path, 0o700)  # whatever the umask
    except FileExistsError:  # another process was faster
        return
    except OSError as error:
        raise StorageError(f"cannot make {safe_text(path)}: {error.strerror}") from error


def file_system(directory: str, mounts: str = "/proc/self/mountinfo") -> str:
    """The type of the file system that holds a directory, '' where that cannot be known."""
    try:
        device = os.stat(directory).st_dev
        with open(mounts, encoding="utf-8", errors="replace") as table:
            lines = table.readlines()
    except OSError:
        return ""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in lines:  # proc(5): the fields after the lone hyphen are type, source, options
        left, _, right = line.partition(" - ")
        if left.split()[2:3] == [wanted]:
            return right.split()[0]
    return ""


def _refuse_others(path: str, info: os.stat_result) -> None:
    if info.st_uid not in (os.getuid(), 0):
        raise UnsafeStorage(
            f"{safe_text(path)} belongs to another user, who could run commands as us"
        )
    others = info.st_mode & stat.S_IWOTH
    group = info.st_mode & stat.S_IWGRP and not _private_group(info.st_gid)
    if others or group:
        who = "others" if others else "its group"
        raise UnsafeStorage(
            f"{who} can write {safe_text(path)} and so run commands as us; "
            f"try: chmod go-w {safe_text(path)}"
        )


def _refuse_planted(path: str) -> None:
    # Anyone can make these in a sticky directory such as /tmp, and SQLite would take committed
    # pages from a log, pools their locks from the directory.
    for beside in ("-wal", "-shm", "-journal", ".d"):
        try:
            info = os.lstat(path + beside)
        except OSError:  # not there, as most of the time
            continue
        _refuse_others(path + beside, info)


def _private_group(gid: int) -> bool:
    """Whether this is the user's own group, which many systems give to each user alone."""
    try:
        group = grp.getgrgid(gid)
        me = pwd.getpwuid(os.getuid())
    except KeyError:
        return False
    return gid == me.pw_gid and group.gr_name == me.pw_name and set(group.gr_mem) <= {me.pw_name}
