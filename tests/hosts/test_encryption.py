"""TLS to a server elsewhere: verified, or refused in a line. A real pgbouncer ends it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from queuectl_engine import StorageError, open_engine
from queuectl_engine.errors import UnsafeStorage
from tests.cli.program import Program
from tests.hosts.pooler import needs_pgbouncer, pooler
from tests.postgres import cluster, server_user

pytestmark = [
    needs_pgbouncer,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed"),
]
NAME = "db.example"


def certificate(directory: Path, name: str) -> tuple[Path, Path]:
    """A key, and the certificate with which it vouches for itself to be `name`."""
    key, made = directory / f"{name}.key", directory / f"{name}.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
         "-keyout", str(key), "-out", str(made)],
        check=True,
        capture_output=True,
    )  # fmt: skip
    if (user := server_user()) is not None:
        shutil.chown(key, user)
    return key, made


@dataclass
class Encrypted:
    """A queue behind TLS, and whom to trust."""

    port: int
    database: str
    authority: Path

    def url(self, host: str = NAME, more: str = "") -> str:
        """How it is named; only the address is told, the name is what is verified."""
        place = f"postgresql://postgres@{host}:{self.port}/{self.database}"
        return f"{place}?hostaddr=127.0.0.1{more}"


@pytest.fixture
def bare(tmp_path: Path) -> Program:
    """The program in a directory of its own, with a home that knows no authority."""
    (tmp_path / "home").mkdir()
    return Program(tmp_path, tmp_path / "home")


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encrypted]:
    """Nobody is let in without TLS."""
    server = cluster().server
    key, made = certificate(server.directory, NAME)
    authority = Path(shutil.copy(made, tmp_path_factory.mktemp("trust")))
    database = cluster().queue().partition("@/")[2].partition("?")[0]
    tls = {
        "client_tls_sslmode": "require",
        "client_tls_key_file": str(key),
        "client_tls_cert_file": str(made),
    }
    with pooler(server, **tls) as port:
        yield Encrypted(port, database, authority)


def test_a_server_elsewhere_is_used_when_its_authority_is_named(
    bare: Program, encrypted: Encrypted
) -> None:
    named = encrypted.url(more=f"&sslrootcert={encrypted.authority}")
    assert bare("--db", named, "add", "true").out.startswith("Job enqueued")

    by_variable = {"QUEUECTL_DB": encrypted.url(), "PGSSLROOTCERT": str(encrypted.authority)}
    assert len(bare("list", "--json", env=by_variable).json()) == 1

    own = Path(bare.env["HOME"], ".postgresql")
    own.mkdir()
    shutil.copy(encrypted.authority, own / "root.crt")
    assert len(bare("--db", encrypted.url(), "list", "--json").json()) == 1


def test_an_unknown_authority_is_refused_in_a_line(bare: Program, encrypted: Encrypted) -> None:
    _, other = certificate(bare.directory, "other.example")
    for url in (encrypted.url(), encrypted.url(more=f"&sslrootcert={other}")):
        refused = bare("--db", url, "list", code=1).err
        assert "the server's certificate could not be verified" in refused
        assert "sslrootcert=FILE" in refused


def test_the_right_authority_for_another_name_is_refused(encrypted: Encrypted) -> None:
    url = encrypted.url("elsewhere.example", f"&sslrootcert={encrypted.authority}")
    with pytest.raises(UnsafeStorage, match="certificate could not be verified"):
        open_engine(url)


def test_a_server_elsewhere_without_tls_is_refused_and_one_here_needs_none(
    encrypted: Encrypted,
) -> None:
    trust = f"&sslrootcert={encrypted.authority}"
    with pooler(cluster().server) as port:
        plain = Encrypted(port, encrypted.database, encrypted.authority)
        with pytest.raises(UnsafeStorage, match="verified"):
            open_engine(plain.url(more=trust))
        for host in ("localhost", "127.0.0.1"):
            with open_engine(plain.url(host)) as engine:
                engine.counts()
    with pytest.raises(StorageError):
        open_engine(encrypted.url(more="&sslmode=disable"))  # it is TLS that was spoken before
