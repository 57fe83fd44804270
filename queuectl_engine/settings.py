"""Which database, and which defaults: flag > environment > config file > built in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from queuectl_engine import private
from queuectl_engine.errors import BadInput, UnsafeStorage
from queuectl_engine.intake import DEFAULT_SHELL
from queuectl_engine.safe_text import safe_text

if TYPE_CHECKING:
    from pathlib import Path

DB_VARIABLE: Final = "QUEUECTL_DB"
LOCAL_NAME: Final = "queue.db"


class Settings(NamedTuple):
    """What the config file may set.

    `shell` runs the commands that are one line; `capture_env` names further variables that a job
    takes along from where it was added; `keys` gives bindings of the terminal UI, by their ids,
    other keys; `secrets` is the directory of the values for `add --secret`; `passwords` are those
    of databases on servers, by URL.
    """

    shell: str = DEFAULT_SHELL
    capture_env: tuple[str, ...] = ()
    keys: Mapping[str, str] = MappingProxyType({})
    secrets: str = ""
    passwords: Mapping[str, str] = MappingProxyType({})

    def __repr__(self) -> str:
        """What it says; but no password."""
        shown = {**self._asdict(), "passwords": "..."}
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


class Database(NamedTuple):
    """The chosen database: `location` is an absolute path or a URL, `why` says who chose it.

    `own` marks the user's private default, which is made when first needed; `allow_owner` lets it
    belong to another user.
    """

    location: str
    why: str
    own: bool = False
    allow_owner: bool = False

    @property
    def name(self) -> str:
        """What to call it where there is little room: a file's name, or server/name of a URL."""
        if not is_url(self.location):
            return os.path.basename(self.location)
        place = self.location.partition("://")[2].partition("?")[0]
        return place.rpartition("@")[2].strip("/")


def choose_database(
    flag: str | None = None,
    *,
    env: Mapping[str, str] = os.environ,
    here: Path | None = None,
) -> Database:
    """The database that a command means. Touches nothing but one `stat`."""
    if flag:
        return Database(_absolute(flag, here), "--db")
    if env.get(DB_VARIABLE):
        return Database(_absolute(env[DB_VARIABLE], here), DB_VARIABLE)
    local = os.path.join(here or "", LOCAL_NAME)
    if os.path.exists(local):
        return Database(os.path.abspath(local), "in this directory")
    data = _xdg(env, "XDG_DATA_HOME", ".local/share")
    return Database(os.path.join(data, "queuectl", LOCAL_NAME), "your own", own=True)


def database_to_make(flag: str | None = None, *, env: Mapping[str, str] = os.environ) -> Database:
    """What `initdb` makes: the named one, else `queue.db` in this directory."""
    if flag or env.get(DB_VARIABLE):
        return choose_database(flag, env=env)
    return Database(os.path.join(os.getcwd(), LOCAL_NAME), "in this directory")


def is_url(location: str) -> bool:
    """Whether a database is named by URL, so that it is no path of ours to resolve."""
    return "://" in location


def refuse_secret(url: str) -> None:
    """Refuse a URL with a password in it, wherever it came from. Raises BadInput.

    What is in argv every user of the machine can read, and the URL is shown, logged and given to
    jobs.
    """
    from urllib.parse import parse_qsl, urlsplit

    try:
        parts = urlsplit(url)
    except ValueError:
        raise BadInput("the database's URL is not one; see docs/postgresql.md") from None
    options = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    if ":" in parts.netloc.rpartition("@")[0] or options & {"password", "sslpassword"}:
        raise BadInput(
            "this URL has a password in it, which others could read; take it out and put it into"
            " ~/.pgpass, a file that PGPASSFILE names, a PGSERVICE, or [passwords] of config.toml"
        )


def load_settings(*, env: Mapping[str, str] = os.environ) -> Settings:
    """Read the user's config file. Raises BadInput for what it cannot mean.

    UnsafeStorage when others can write it: it says which shell runs the jobs.
    """
    path = config_path(env)
    try:
        text = private.read_text(path)
    except FileNotFoundError:
        return Settings(secrets=_own_secrets(env))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot read {path}: {error}; mend or remove it") from error
    return _parsed(text, path)


def _own_secrets(env: Mapping[str, str]) -> str:
    return os.path.join(os.path.dirname(config_path(env)), "secrets")


def config_path(env: Mapping[str, str] = os.environ) -> str:
    """Where the config file is, whether it exists or not."""
    return os.path.join(_xdg(env, "XDG_CONFIG_HOME", ".config"), "queuectl", "config.toml")


def _parsed(text: str, path: str) -> Settings:
    import tomllib  # only who has a config file pays for it

    try:
        values: dict[str, Any] = tomllib.loads(text)
    except RecursionError:
        raise BadInput(f"{path} is not TOML: it is nested too deeply") from None
    except ValueError as error:  # also a number of thousands of digits
        raise BadInput(f"{path} is not TOML: {safe_text(str(error))}") from error
    known = set(Settings._fields)
    if unknown := sorted(set(values) - known):
        raise BadInput(f"{path} sets {unknown[0]!r}, which is none of {', '.join(sorted(known))}")
    shell = values.get("shell", DEFAULT_SHELL)
    names = values.get("capture_env", [])
    if not isinstance(shell, str) or not shell.startswith("/"):
        raise BadInput(f"{path}: shell must be an absolute path, as in {DEFAULT_SHELL!r}")
    if not isinstance(names, list) or not all(_is_variable(name) for name in names):
        raise BadInput(f"{path}: capture_env must be a list of variable names")
    keys = values.get("keys", {})
    if not isinstance(keys, dict) or not all(isinstance(key, str) for key in keys.values()):
        raise BadInput(f"{path}: [keys] must give each binding its keys, as in requeue = 'R'")
    secrets = values.get("secrets", os.path.join(os.path.dirname(path), "secrets"))
    if not isinstance(secrets, str) or not os.path.isabs(os.path.expanduser(secrets)):
        raise BadInput(f"{path}: secrets must be an absolute path to a directory")
    passwords = values.get("passwords", {})
    if not isinstance(passwords, dict) or not all(isinstance(p, str) for p in passwords.values()):
        raise BadInput(f"{path}: [passwords] must give URLs their passwords")
    if passwords and os.stat(path).st_mode & 0o077:
        raise UnsafeStorage(f"{path} has passwords that others can read; try: chmod 600 {path}")
    return Settings(shell, tuple(names), keys, os.path.expanduser(secrets), passwords)


def _is_variable(name: object) -> bool:
    return isinstance(name, str) and name.isidentifier()


def _absolute(location: str, here: Path | None) -> str:
    if is_url(location):
        refuse_secret(location)
        return location
    # os.path, not pathlib: an unknown "~name" is a file name then, no error.
    try:
        return os.path.abspath(os.path.join(here or "", os.path.expanduser(location)))
    except FileNotFoundError:
        raise BadInput("this directory was deleted; go to another one") from None


def _xdg(env: Mapping[str, str], variable: str, fallback: str) -> str:
    # "All paths set in these variables must be absolute; relative ones are ignored" (XDG 0.8).
    if os.path.isabs(value := env.get(variable, "")):
        return value
    home = os.path.expanduser(env.get("HOME") or "~")
    if not os.path.isabs(home):
        raise BadInput(f"you have no home directory; set HOME or {variable}")
    return os.path.join(home, fallback)
