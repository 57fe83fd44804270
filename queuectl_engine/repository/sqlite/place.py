"""Where a database file may be, and who may be able to touch it. Looks at paths, opens no database.

A queue that others can write is a way to run commands as us (StrictModes of sshd has the same
rule); WAL needs shared memory and working locks, which network file systems do not have.
"""

from __future__ import annotations

import os
import stat
from typing import Final

from queuectl_engine.errors import NotAQueue, StorageError, UnsafeStorage
from queuectl_engine.private import check_above, check_file
from queuectl_engine.safe_text import safe_text

# https://sqlite.org/useovernet.html: locks and syncs cannot be relied on there.
_NETWORK: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "fuse.sshfs", "fuse.rclone",
     "fuse.s3fs", "fuse.gcsfuse", "fuse.glusterfs", "glusterfs", "lustre", "gpfs", "beegfs",
     "ocfs2", "gfs2", "vboxsf", "prl_fs", "davfs", "fuse.davfs2", "ncpfs", "coda", "orangefs",
     "pvfs2", "fhgfs", "smb2", "fuse.ceph", "fuse.juicefs", "fuse.moosefs", "fuse.mfs",
     "fuse.lizardfs", "fuse.goofys", "fuse.blobfuse", "fuse.blobfuse2", "fuse.mount-s3",
     "fuse.curlftpfs", "fuse.smbnetfs", "fuse.gvfsd-fuse", "fuse.nfs", "fuse.vmhgfs-fuse",
     "vmhgfs", "fuse.cvmfs", "fuse.hdfs", "fuse.seaweedfs"}
)  # fmt: skip


def canonical(location: str) -> str:
    """The path with its directory resolved, so that every process means the same file.

    Raises NotAQueue for a name that SQLite cannot take.
    """
    if "\0" in location or location != location.encode("utf-8", "replace").decode():
        raise NotAQueue(f"the name {safe_text(location)} is not valid UTF-8; choose another one")
    directory, name = os.path.split(location.rstrip("/") or "/")
    return os.path.join(os.path.realpath(directory or "."), name)


def check_place(path: str, *, allow_owner: bool = False) -> None:
    """Refuse a path that holds no file of ours alone, on a local disk.

    `allow_owner`: another user may own it. Raises NotAQueue when there is no such file,
    UnsafeStorage otherwise.
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
    check_file(path, info, allow_owner=allow_owner)
    _refuse_planted(path, allow_owner=allow_owner)
    check_directory(os.path.dirname(path), allow_owner=allow_owner)


def check_directory(directory: str, *, allow_owner: bool = False) -> None:
    """Refuse a directory in which others could replace the file, or one across a network."""
    try:
        check_above(directory, allow_owner=allow_owner)
    except FileNotFoundError:
        raise NotAQueue(f"no directory {safe_text(directory)}; make it first") from None
    except OSError as error:
        raise StorageError(f"cannot use {safe_text(directory)}: {error.strerror}") from error
    if (kind := file_system(directory)) in _NETWORK:
        raise UnsafeStorage(
            f"{safe_text(directory)} is on a network file system ({kind}), which loses data; "
            f"use a local path such as {os.path.expanduser('~/.local/share/queuectl/queue.db')}"
        )


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


def _refuse_planted(path: str, *, allow_owner: bool) -> None:
    # Anyone can make these in a sticky directory such as /tmp, and SQLite would take committed
    # pages from a log, pools their locks from the directory.
    for beside in ("-wal", "-shm", "-journal", ".d"):
        try:
            info = os.lstat(path + beside)
        except OSError:  # not there, as most of the time
            continue
        check_file(path + beside, info, allow_owner=allow_owner)
