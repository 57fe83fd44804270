"""Statements that run for each job, as SQLite's driver likes them best."""

from __future__ import annotations

import re


def numbered(sql: str, *names: str) -> str:
    """The same on one line, with the number of each of these names in the place of `:name`.

    apsw finds a prepared statement by a hash of its whole text, and makes a text of every name to
    look it up: together a tenth of a turn.
    """
    numbers = {name: f"?{number}" for number, name in enumerate(names, 1)}
    return re.sub(r":(\w+)", lambda name: numbers[name[1]], " ".join(sql.split()))
