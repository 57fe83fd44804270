"""Which database and which defaults: flag > environment > directory or config file > built in."""

from __future__ import annotations

from pathlib import Path

import pytest

from queuectl_engine.errors import BadInput
from queuectl_engine.settings import (
    Database,
    Settings,
    choose_database,
    config_path,
    database_to_make,
    is_url,
    load_settings,
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory."""
    directory = tmp_path / "here"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


def config(home: Path, text: str) -> dict[str, str]:
    """An environment whose config file says this."""
    path = home / ".config" / "queuectl" / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return {"HOME": str(home)}


# -- which database


def test_the_flag_beats_everything(here: Path) -> None:
    (here / "queue.db").touch()

    chosen = choose_database("other.db", env={"QUEUECTL_DB": "/env.db", "HOME": "/home/ada"})

    assert chosen == Database(str(here / "other.db"), "--db")


def test_then_the_environment(here: Path) -> None:
    (here / "queue.db").touch()

    chosen = choose_database(env={"QUEUECTL_DB": "sub/env.db", "HOME": "/home/ada"})

    assert chosen == Database(str(here / "sub" / "env.db"), "QUEUECTL_DB")


def test_then_the_file_in_this_directory(here: Path) -> None:
    (here / "queue.db").touch()

    chosen = choose_database(env={"HOME": "/home/ada"})

    assert chosen == Database(str(here / "queue.db"), "in this directory")


@pytest.mark.parametrize(
    ("env", "location"),
    [
        ({"HOME": "/home/ada"}, "/home/ada/.local/share/queuectl/queue.db"),
        ({"HOME": "/home/ada", "XDG_DATA_HOME": "/data"}, "/data/queuectl/queue.db"),
        (
            {"HOME": "/home/ada", "XDG_DATA_HOME": "relative"},
            "/home/ada/.local/share/queuectl/queue.db",
        ),
        ({"HOME": "/home/ada", "QUEUECTL_DB": ""}, "/home/ada/.local/share/queuectl/queue.db"),
    ],
)
@pytest.mark.usefixtures("here")
def test_then_the_users_own(env: dict[str, str], location: str) -> None:
    assert choose_database(env=env) == Database(location, "your own", own=True)


@pytest.mark.usefixtures("here")
def test_choosing_makes_nothing(tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))

    choose_database(env={"HOME": str(tmp_path / "home")})

    assert sorted(tmp_path.rglob("*")) == before


def test_a_home_directory_is_expanded_and_an_unknown_one_left(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/ada")

    assert choose_database("~/q.db").location == "/home/ada/q.db"
    assert choose_database("~no-such-user/q.db").location == str(here / "~no-such-user" / "q.db")


def test_a_directory_that_was_deleted_under_us_needs_no_database(here: Path) -> None:
    here.rmdir()

    with pytest.raises(BadInput, match="deleted"):
        choose_database("q.db", env={})
    assert choose_database("/q.db", env={}).location == "/q.db"
    assert choose_database(env={"HOME": "/home/ada"}).own


def test_a_url_stays_as_it_is() -> None:
    url = "postgresql://ada@host/db"

    assert is_url(url)
    assert not is_url("/path/queue.db")
    assert choose_database(url).location == url


def test_initdb_makes_the_named_one_or_one_here_but_never_the_users_own(here: Path) -> None:
    home = {"HOME": "/home/ada"}

    assert database_to_make(env=home) == Database(str(here / "queue.db"), "in this directory")
    assert database_to_make("x.db", env=home) == Database(str(here / "x.db"), "--db")
    named = database_to_make(env={**home, "QUEUECTL_DB": "/y.db"})
    assert named == Database("/y.db", "QUEUECTL_DB")


# -- the config file


def test_without_a_config_file_the_defaults_hold(tmp_path: Path) -> None:
    assert load_settings(env={"HOME": str(tmp_path)}) == Settings(
        "/bin/sh", (), secrets=str(tmp_path / ".config/queuectl/secrets")
    )


def test_the_config_file_sets_shell_and_captured_names(tmp_path: Path) -> None:
    env = config(tmp_path, 'shell = "/bin/bash"\ncapture_env = ["AWS_PROFILE", "MY_NAME"]\n')

    assert load_settings(env=env) == Settings(
        "/bin/bash", ("AWS_PROFILE", "MY_NAME"), secrets=str(tmp_path / ".config/queuectl/secrets")
    )


def test_the_config_file_gives_bindings_other_keys(tmp_path: Path) -> None:
    env = config(tmp_path, '[keys]\nrequeue = "R"\n')
    assert load_settings(env=env).keys == {"requeue": "R"}


def test_the_config_file_follows_xdg(tmp_path: Path) -> None:
    env = {"HOME": "/home/ada", "XDG_CONFIG_HOME": str(tmp_path)}

    assert Path(config_path(env)) == tmp_path / "queuectl" / "config.toml"
    assert config_path({"HOME": "/home/ada"}) == "/home/ada/.config/queuectl/config.toml"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("shell = ", "not TOML"),
        ("shel = '/bin/sh'", "shel"),
        ("[shell]\npath = '/bin/sh'", "absolute path"),
        ("shell = 'bash'", "absolute path"),
        ("shell = 3", "absolute path"),
        ("capture_env = 'PATH'", "list of variable names"),
        ("capture_env = [1]", "list of variable names"),
        ("keys = 'R'", "each binding"),
        ("[keys]\nrequeue = 1", "each binding"),
        ("capture_env = ['MY_*']", "list of variable names"),
        ('"\\u001b[2J" = 1', "is none of"),
    ],
)
def test_a_config_file_that_makes_no_sense_is_named_in_one_line(
    tmp_path: Path, text: str, complaint: str
) -> None:
    env = config(tmp_path, text)

    with pytest.raises(BadInput, match=complaint) as refused:
        load_settings(env=env)
    assert str(config_path(env)) in str(refused.value)
    assert str(refused.value).isprintable()


def test_a_config_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    env = config(tmp_path, "")
    Path(config_path(env)).write_bytes(b"\xff")
    with pytest.raises(BadInput, match="cannot read"):
        load_settings(env=env)

    Path(config_path(env)).unlink()
    Path(config_path(env)).mkdir()
    with pytest.raises(BadInput, match="cannot read"):
        load_settings(env=env)
