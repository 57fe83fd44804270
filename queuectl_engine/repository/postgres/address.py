"""A URL and what it means: how to connect, and how to name the database without its secrets."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from queuectl_engine.errors import BadInput
from queuectl_engine.safe_text import safe_text
from queuectl_engine.settings import load_settings

SCHEMA: Final = "queuectl"
_SECRET: Final = frozenset({"password", "sslpassword", "passfile"})
# A cut cable is noticed in seconds: without these a query waits for a quarter of an hour and an
# idle session for ever (research: partition by taking an interface down).
_NETWORK: Final[Mapping[str, str]] = {
    "connect_timeout": "5",
    "keepalives": "1",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "6000",
}
_FIRST_SYSTEM_ROOTS: Final = 160_000  # libpq that knows sslrootcert=system


def connection_parameters(url: str, *, env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What libpq is told. Whatever the URL says wins. Raises BadInput for what is no URL."""
    try:
        given = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    except psycopg.ProgrammingError:
        raise BadInput(
            "the database's URL is not one; write it as postgresql://user@host:5432/name"
        ) from None
    own = load_settings(env=env).passwords.get(url)
    password = {} if own is None else {"password": own}
    return {
        **_NETWORK,
        "application_name": "queuectl",
        **_verified(given, env),
        **password,
        **given,
    }


def shown(url: str) -> str:
    """The URL without password, as it may be printed and given to jobs."""
    before, mark, query = url.partition("?")
    scheme, slashes, rest = before.partition("://")
    place, slash, name = rest.partition("/")
    user, at, host = place.rpartition("@")
    kept = [each for each in query.split("&") if each.partition("=")[0].lower() not in _SECRET]
    more = mark + "&".join(kept) if any(kept) else ""
    return safe_text(f"{scheme}{slashes}{user.partition(':')[0]}{at}{host}{slash}{name}{more}")


def _verified(given: Mapping[str, str], env: Mapping[str, str]) -> dict[str, str]:
    """TLS is verified unless the server is this machine or somebody has said otherwise."""
    if "sslmode" in given or env.get("PGSSLMODE") or "service" in given or env.get("PGSERVICE"):
        return {}
    host = given.get("host") or given.get("hostaddr") or env.get("PGHOST") or ""
    if all(_is_here(name) for name in host.split(",")):
        return {}
    verified = {"sslmode": "verify-full"}
    own = os.path.expanduser("~/.postgresql/root.crt")
    named = "sslrootcert" in given or env.get("PGSSLROOTCERT") or os.path.exists(own)
    if not named and psycopg.pq.version() >= _FIRST_SYSTEM_ROOTS:
        verified["sslrootcert"] = "system"
    return verified


def _is_here(host: str) -> bool:
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
