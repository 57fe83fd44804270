"""The process of a fork server: it waits, forks, and writes to as little memory as it can.

A page that it writes to between two forks is from then on the last fork's alone.
"""

import os
import pickle
import signal
import sys
from typing import Final, NoReturn

NUMBER: Final = 8  # bytes of each number on its pipes
_REQUESTS, _ANSWERS, _ERRORS = range(3)  # descriptors


def serve() -> NoReturn:
    """Fork for each request, until whoever asks is gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so the kernel reaps them
    while request := _next_request():
        try:
            pid = os.fork()
        except OSError as error:
            assert error.errno
            pid = -error.errno
        if not pid:
            _become(request)
        os.write(_ANSWERS, pid.to_bytes(NUMBER, "little", signed=True))
    os._exit(0)


def _next_request() -> bytes:
    """Empty when there is none any more."""
    size = int.from_bytes(os.read(_REQUESTS, NUMBER), "little")
    request = b""
    while len(request) < size:
        part = os.read(_REQUESTS, size - len(request))
        if not part:
            return b""
        request += part
    return request


def _become(request: bytes) -> NoReturn:
    """Be the process that was asked for, until it ends."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        os.dup2(nothing, _REQUESTS)
        os.dup2(_ERRORS, _ANSWERS)
        os.close(nothing)
        function, arguments = pickle.loads(request)  # noqa: S301 - our supervisor's
        function(*arguments)
        code = 0
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    except BaseException:  # a mistake of ours; it must not be taken for the server's loop
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)
