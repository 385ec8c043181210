"""Opens SQL databases from the settings of a place, and turns their errors into ours.

`config` holds `dialect` (postgresql, mysql, sqlite), `host`, `port`, `database`, `user`, `password`, `tls` (a key of TLS) and
`ca_file`. The drivers' own words are never passed on: they quote rows, addresses and statements.
"""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from django.utils.translation import gettext_lazy
from sqlalchemy import URL, Connection, Engine, Table, create_engine, event
from sqlalchemy.exc import DBAPIError, NoSuchTableError, SQLAlchemyError
from sqlalchemy.pool import NullPool
from sqlalchemy.util import LRUCache

from apps.locations import sql_servers, sqlite_file
from apps.locations.errors import LocationError, Refused, Unavailable
from apps.locations.said import said as _

DIALECTS = {
    "postgresql": gettext_lazy("PostgreSQL"),
    "mysql": gettext_lazy("MySQL or MariaDB"),
    "sqlite": gettext_lazy("SQLite file"),
}
TLS = {
    "verify": gettext_lazy("Encrypted, and the server's certificate is checked"),
    "encrypt": gettext_lazy("Encrypted, whoever answers"),
    "off": gettext_lazy("Not encrypted: only on the same machine or a private network"),
}
DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "sqlite": "sqlite"}
PORTS = {"postgresql": 5432, "mysql": 3306}
CONNECT_SECONDS = 5
ANSWER_SECONDS = 30  # one statement; a batch of the engine has 60 s
LOCK_SECONDS = 10  # waiting for a row that somebody else holds
HOST = re.compile(r"[A-Za-z0-9._:%-]+")  # no path of a socket, no second host
NOWHERE = "/nonexistent"
WRITES, KNOWN = "habeas_writes", "habeas_known"
REMEMBERED_SECONDS = 600  # a server that became another one is asked anew what it is
MOST_REMEMBERED, MOST_STATEMENTS = 32, 200  # databases; statements of each


class ForeignKeyForbids(LocationError):
    """The database refuses because a row of another table points to this one."""


class Deadlock(Unavailable):
    """The database chose this transaction to give way to another one. A repeat usually succeeds."""


def engine_of(config: dict[str, Any]) -> Engine:
    """Return an engine that keeps no connection open; nothing is connected yet. Use it within `foreign_errors`."""
    url = _url(config)
    engine = _engine(url.set(password=_password(config)), _arguments(config))
    sql_servers.watch(engine)
    return engine


def _url(config: dict[str, Any]) -> URL:
    """Return where a database is, without its password; raises Refused or Unavailable for what can be known at once."""
    dialect, database = str(config["dialect"]), str(config["database"])
    if dialect not in DRIVERS:
        raise Refused(_("This kind of database is not known."))
    if dialect == "sqlite":
        sqlite_file.check(database)
        return URL.create("sqlite", database=database)
    host = str(config.get("host") or "127.0.0.1")
    if not HOST.fullmatch(host):  # by a socket the worker's own account would be let in, without a password
        raise Refused(_("Write the name or the address of one host, as in db.example.org."))
    return URL.create(
        DRIVERS[dialect],
        username=str(config.get("user") or "") or None,
        host=host,
        port=int(config.get("port") or PORTS[dialect]),
        database=database,
    )


def _password(config: dict[str, Any]) -> str | None:
    return None if config["dialect"] == "sqlite" else str(config.get("password") or "") or None


def _arguments(config: dict[str, Any]) -> dict[str, Any]:
    if config["dialect"] == "sqlite":
        return {"timeout": LOCK_SECONDS}
    return _postgresql(config) if config["dialect"] == "postgresql" else _mysql(config)


def _engine(url: URL, arguments: dict[str, Any]) -> Engine:
    engine = create_engine(url, poolclass=NullPool, connect_args=arguments, hide_parameters=True)
    if engine.dialect.name == "sqlite":
        _prepare_sqlite(engine)
    return engine


def _postgresql(config: dict[str, Any]) -> dict[str, Any]:
    modes = {"verify": "verify-full", "encrypt": "require", "off": "disable"}
    arguments: dict[str, Any] = {
        "connect_timeout": CONNECT_SECONDS,
        "client_encoding": "utf8",
        "sslmode": modes[_tls(config)],
        "tcp_user_timeout": ANSWER_SECONDS * 1000,
        "options": f"-c statement_timeout={ANSWER_SECONDS}s -c lock_timeout={LOCK_SECONDS}s",
        "application_name": "habeas",
    }
    if _tls(config) == "verify":
        arguments["sslrootcert"] = str(config.get("ca_file") or "system")
    return arguments | _nothing_of_the_machine(config)


def _nothing_of_the_machine(config: dict[str, Any]) -> dict[str, Any]:
    """Keep libpq from what it would take by itself: passwords from the environment or a file, certificates, Kerberos.

    And from giving the password away to whoever asks for it on a connection that is not encrypted.
    """
    ways = "scram-sha-256,md5,none" if _tls(config) == "off" else "scram-sha-256,md5,password,none"
    arguments = {"passfile": NOWHERE, "sslcertmode": "disable", "gssencmode": "disable", "require_auth": ways}
    return arguments if config.get("password") else arguments | {"password": ""}


def _mysql(config: dict[str, Any]) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": ANSWER_SECONDS,
        "write_timeout": ANSWER_SECONDS,
        "charset": "utf8mb4",
        "init_command": f"SET SESSION innodb_lock_wait_timeout={LOCK_SECONDS}",
    }
    if _tls(config) == "off":
        return arguments | {"ssl_disabled": True, "auth_plugin_map": sql_servers.NOT_IN_THE_CLEAR}
    try:
        context = ssl.create_default_context(cafile=str(config.get("ca_file") or "") or None)
    except OSError:
        raise Refused(_("The file with the certificates of the authority cannot be read.")) from None
    if _tls(config) == "encrypt":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return arguments | {"ssl": context}


def _prepare_sqlite(engine: Engine) -> None:
    """Open files with their foreign keys kept, and overwrite in them what is deleted."""

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        try:
            sqlite_file.check_opened(connection)
        except LocationError:
            connection.close()
            raise
        connection.isolation_level = None  # transactions begin below, not where Python's sqlite3 thinks best
        connection.text_factory = _text
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA secure_delete = ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@dataclass(frozen=True)
class Known:
    """What is remembered of a database from one step to the next: nothing of a person, and no password.

    `tables` are by name and by what the database last said of them; `statements` are compiled once, without their values.
    """

    engine: Engine
    tables: dict[str, tuple[Any, Table]] = field(default_factory=dict)
    statements: LRUCache[Any, Any] = field(default_factory=lambda: LRUCache(MOST_STATEMENTS))


_secret: ContextVar[dict[str, Any]] = ContextVar("the arguments of the connection that is being opened")


@lru_cache(MOST_REMEMBERED)
def _known(url: URL, _period: int) -> Known:
    engine = _engine(url, {})

    @event.listens_for(engine, "do_connect")
    def _add_arguments(_dialect: Any, _record: Any, _positional: Any, arguments: dict[str, Any]) -> None:
        arguments.update(_secret.get())

    sql_servers.watch(engine)  # connects with these arguments
    return Known(engine)


@contextmanager
def connected(config: dict[str, Any], *, writes: bool = False) -> Iterator[Connection]:
    """Open a connection; SQLite's transactions on it take the write lock at once if it `writes`.

    Statements that it compiles are forgotten with it, since they hold values of people; see `remembering`.
    """
    with foreign_errors():
        known = _known(_url(config), int(time.monotonic() // REMEMBERED_SECONDS))
        password = _password(config)
        opening = _secret.set(_arguments(config) | ({} if password is None else {"password": password}))
        try:
            connection = known.engine.connect()
        finally:
            _secret.reset(opening)
        with connection:
            own: LRUCache[Any, Any] = LRUCache(MOST_STATEMENTS)
            yield connection.execution_options(**{WRITES: writes, KNOWN: known, "compiled_cache": own})


def known_of(connection: Connection) -> Known:
    known: Known = connection.get_execution_options()[KNOWN]
    return known


@contextmanager
def remembering(connection: Connection) -> Iterator[None]:
    """Remember the statements compiled within: only those that hold no value of anybody."""
    own = connection.get_execution_options()["compiled_cache"]
    connection.execution_options(compiled_cache=known_of(connection).statements)
    try:
        yield
    finally:
        connection.execution_options(compiled_cache=own)


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """Begin a transaction of its own, whatever was read before; it sees what others have committed by now."""
    with foreign_errors():
        if connection.in_transaction():
            connection.rollback()
        with connection.begin():
            yield


def _text(value: bytes) -> str:
    """SQLite keeps any bytes as text: what is not UTF-8 is shown, not lost."""
    return value.decode("utf-8", "backslashreplace")


def _tls(config: dict[str, Any]) -> str:
    mode = str(config.get("tls") or "verify")
    if mode not in TLS:
        raise Refused(_("How the connection is encrypted is not known."))
    return mode


# What a driver's error means, by the code that it carries.
POSTGRESQL_UNAVAILABLE = ("08", "53", "57", "55", "58")  # connection, resources, intervention, locks, system (classes)
POSTGRESQL_DEADLOCKS = {"40001", "40P01"}
MYSQL_UNAVAILABLE = {1021, 1040, 1041, 1053, 1158, 1159, 1160, 1161, 1205, 1317, 1969, 2002, 2003, 2006, 2013, 2014, 2055, 3024}  # fmt: skip
MYSQL_FOREIGN_KEYS = {1217, 1451}
SQLITE_UNAVAILABLE = {5, 6, 10, 13, 14, 15}  # BUSY, LOCKED, IOERR, FULL, CANTOPEN, PROTOCOL (primary result codes)
SQLITE_FOREIGN_KEYS = {787, 1811}  # SQLITE_CONSTRAINT_FOREIGNKEY, SQLITE_CONSTRAINT_TRIGGER (RESTRICT)
SAYS_LATER = ("starting up", "shutting down", "too many", "recovery", "remaining connection slots")


@contextmanager
def foreign_errors() -> Iterator[None]:
    """Turn the errors of SQLAlchemy and the drivers into those of apps.locations.errors."""
    try:
        yield
    except DBAPIError as error:
        raise meaning_of(error) from None
    except NoSuchTableError:
        raise Refused(_("A table that the settings name is not there.")) from None
    except UnicodeError:
        raise Refused(_("The database holds text in an encoding that it does not declare.")) from None
    except SQLAlchemyError:
        raise Refused(_("The database cannot do what the settings ask for.")) from None
    except sql_servers.BREACHES as error:
        if not sql_servers.is_breach(error):
            raise
        raise Refused(_("The server does not speak the protocol of this kind of database.")) from None


def meaning_of(error: DBAPIError) -> LocationError:
    """Return what a driver's error means, in our words."""
    original: Any = error.orig
    module = type(original).__module__.partition(".")[0]
    if module == "psycopg":
        return _of_postgresql(error, original)
    if module == "pymysql":
        return _of_mysql(error, original)
    return _of_sqlite(original)


def _of_postgresql(error: DBAPIError, original: Any) -> LocationError:
    state = str(original.sqlstate or "")
    if state in POSTGRESQL_DEADLOCKS:
        return Deadlock(_("The database was busy with the same rows."))
    if state in {"23503", "23001"}:
        return ForeignKeyForbids(_("A foreign key forbids it."))
    if state.startswith("28"):
        return Refused(_("The database does not let us in: check the user and the password."))
    if state == "42501":
        return Refused(_("The database user may not do that: a permission is missing."))
    if state in {"3D000", "3F000", "42P01", "42703"}:
        return Refused(_("A database, table or column that the settings name is not there."))
    if state.startswith(POSTGRESQL_UNAVAILABLE) or (state and error.connection_invalidated):
        return Unavailable(_("The database cannot answer just now."))
    if state:
        return Refused(_("The database refuses what we ask (%(code)s).") % {"code": state})
    return _of_a_failed_connection(str(original), had_password=_password_was_used(original))


def _password_was_used(original: Any) -> bool:
    connection = getattr(original, "pgconn", None)
    return bool(connection is not None and (connection.used_password or connection.needs_password))


def _of_a_failed_connection(words: str, *, had_password: bool) -> LocationError:
    """While connecting libpq gives no code, only words; they are read here and go no further."""
    if any(word in words for word in SAYS_LATER):
        return Unavailable(_("The database cannot answer just now."))
    if had_password or "FATAL" in words:
        return Refused(_("The database does not let us in: check its name, the user and the password."))
    if "certificate" in words or "SSL" in words:
        return Refused(_("The encrypted connection cannot be made: check the certificate and the TLS setting."))
    return Unavailable(_("The database does not answer."))


def _of_mysql(error: DBAPIError, original: Any) -> LocationError:
    code = original.args[0] if original.args and isinstance(original.args[0], int) else 0
    if code == 1213:
        return Deadlock(_("The database was busy with the same rows."))
    if code in MYSQL_FOREIGN_KEYS:
        return ForeignKeyForbids(_("A foreign key forbids it."))
    if code in {1044, 1045, 1698}:
        return Refused(_("The database does not let us in: check its name, the user and the password."))
    if code in {1142, 1143, 1227, 1370}:
        return Refused(_("The database user may not do that: a permission is missing."))
    if code in {1049, 1054, 1146}:
        return Refused(_("A database, table or column that the settings name is not there."))
    if code == 2026 or (code == 2003 and "certificate" in str(original).lower()):  # 2026: the server offers no TLS
        return Refused(_("The encrypted connection cannot be made: check the certificate and the TLS setting."))
    if code in MYSQL_UNAVAILABLE or error.connection_invalidated or not code:
        return Unavailable(_("The database does not answer, or not now."))
    return Refused(_("The database refuses what we ask (%(code)s).") % {"code": code})


def _of_sqlite(original: Any) -> LocationError:
    code = int(getattr(original, "sqlite_errorcode", 0) or 0)
    if code in SQLITE_FOREIGN_KEYS:
        return ForeignKeyForbids(_("A foreign key forbids it."))
    if code & 0xFF in SQLITE_UNAVAILABLE:
        return Unavailable(_("The file cannot be read or written just now."))
    if code & 0xFF == 8:
        return Refused(_("The file may not be written."))
    if code & 0xFF == 26:
        return Refused(_("The file is no SQLite database."))
    return Refused(_("The database refuses what we ask (%(code)s).") % {"code": code})
