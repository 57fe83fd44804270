"""What a pool is told at its start: one value, from the command line to every worker."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from queuectl_engine.errors import BadInput
from queuectl_engine.pool.slots import MOST_SLOTS, PerSlot, check_per_slot
from queuectl_engine.safe_text import safe_text

DEFAULT_GRACE: Final = 10.0
DEFAULT_LEASE: Final = 45.0
SHORTEST_LEASE: Final = 5.0
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
DEFAULT_OUTPUT_LIMIT: Final = 1024 * 1024


@dataclass(frozen=True)  # no slots: see Post
class PoolOptions:
    """All options of `queuectl worker`. Durations in seconds, sizes in bytes.

    `lease` is for how long a host may be without contact with a database of many hosts before
    others run its jobs.
    `output_limit` is what is kept of the start and again of the end of each attempt's output.
    `per_slot` are variables with a value for each slot, so for each job at once that there may be.
    `slots` is how many jobs each worker runs at once. `min_free` is the space on the disk of the
    database below which nothing is claimed; None means 64 MiB or a hundredth of that disk,
    whichever is less. `stop_timeout` None means that a graceful stop waits for its jobs for ever.
    """

    db: str
    workers: int = 1
    name: str | None = None
    queues: tuple[str, ...] = ()
    backoff_base: float = 2.0
    backoff_cap: float = 3600.0
    grace: float = DEFAULT_GRACE
    stop_timeout: float | None = None
    drain: bool = False
    detached: bool = False
    log_format: str = "text"
    output_limit: int = DEFAULT_OUTPUT_LIMIT
    per_slot: PerSlot = ()
    min_free: int | None = None
    slots: int = 1
    metrics_listen: str | None = None  # HOST:PORT
    metrics_public: bool = False  # whether others than this host may be listened to
    allow_owner: bool = False  # whether the database may belong to another user
    lease: float = DEFAULT_LEASE

    def __post_init__(self) -> None:
        """Raise BadInput for a name or address that could not be one, and slots without values."""
        if not 1 <= self.slots <= MOST_SLOTS:
            raise BadInput(f"{self.slots} jobs at once in a worker; it has 1 to {MOST_SLOTS} slots")
        check_per_slot(self.per_slot, self.workers, self.slots)
        if self.name is not None and not _NAME.fullmatch(self.name):
            raise BadInput(
                f"pool name '{safe_text(self.name[:40])}' must be 1 to 64 letters, digits, "
                "'.', '-' or '_'"
            )

        if not self.lease >= SHORTEST_LEASE:
            raise BadInput(
                f"a lease of {self.lease:g} s is too short to be renewed in time; use "
                f"{SHORTEST_LEASE:g} s or more"
            )
        if self.metrics_listen is not None:
            listen_address(self.metrics_listen, public=self.metrics_public)
        elif self.metrics_public:
            raise BadInput("--metrics-public goes with --metrics-listen ADDRESS:PORT")

    def to_json(self) -> dict[str, Any]:
        """Plain data, for the command line of the supervisor."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The inverse of `to_json`."""
        per_slot = tuple((name, tuple(values)) for name, values in data["per_slot"])
        return cls(**{**data, "queues": tuple(data["queues"]), "per_slot": per_slot})


def listen_address(text: str, *, public: bool) -> tuple[str, int]:
    """`127.0.0.1:9188`, `localhost:9188`, `[::1]:9188` as host and port; port 0 means any.

    Raises BadInput for what is no address, and without `public` for one that others can reach:
    whoever reads metrics learns the names of queues, and nothing asks who reads.
    """
    from ipaddress import ip_address

    host, _, port = text.rpartition(":")
    host = "127.0.0.1" if host == "localhost" else host.removeprefix("[").removesuffix("]")
    try:
        address, number = ip_address(host), int(port)
    except ValueError:
        address, number = None, -1
    if address is None or not 0 <= number < 65536:
        raise BadInput(f"'{safe_text(text)}' is no address to listen at; try 127.0.0.1:9188")
    if not (address.is_loopback or public):
        raise BadInput(
            f"others could reach {safe_text(text)}, and metrics ask nobody who they are; "
            "add --metrics-public, or listen at 127.0.0.1"
        )
    return str(address), number
