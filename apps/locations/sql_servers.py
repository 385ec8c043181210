"""What servers of PostgreSQL and MySQL are not trusted with: our time, our memory, and the password in the clear.

A statement's time limit is the server's own, and the drivers take an answer as a whole, whatever its size. So each
statement is watched, and its connection ended when it takes too long or fills the memory.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import Engine, event

from apps.locations import deadlines
from apps.locations.errors import Refused, Unavailable
from apps.locations.said import said as _


class _InTheClear:
    """Stands where PyMySQL would look for a way to sign in that gives the password away."""

    def __init__(self, connection: Any) -> None:
        """PyMySQL makes one for its connection."""

    def authenticate(self, packet: Any) -> None:
        raise Refused(_("The server asks for the password in the clear: have the connection encrypted."))


BREACHES = (RuntimeError, TypeError, ValueError, LookupError, AssertionError, struct.error)
DRIVERS = {"pymysql", "psycopg", "psycopg_binary", "sqlalchemy"}
NOT_IN_THE_CLEAR = {"mysql_clear_password": _InTheClear, "mysql_old_password": _InTheClear, "dialog": _InTheClear}


def is_breach(error: BaseException) -> bool:
    """Say whether one of BREACHES comes out of a driver: then its server does not keep to the protocol."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = str(trace.tb_frame.f_globals.get("__name__")) if trace is not None else ""
    return module.partition(".")[0] in DRIVERS


def watch(engine: Engine) -> None:
    """Watch whatever goes through an engine: its statements, the ends of its transactions, and for MySQL the sign-in.

    SQLite needs none of that: there is no server.
    """
    if engine.dialect.name == "sqlite":
        return
    if engine.dialect.name == "mysql":
        event.listen(engine, "do_connect", _connect_to_mysql)
    else:  # events would miss those statements that ask what the server is
        for name in ("do_execute", "do_execute_no_params", "do_executemany"):
            setattr(engine.dialect, name, _watched(engine.dialect, name, is_statement=True))
    for name in ("do_commit", "do_rollback"):
        setattr(engine.dialect, name, _watched(engine.dialect, name, is_statement=False))


def _connect_to_mysql(dialect: Any, _record: Any, _positional: Any, arguments: dict[str, Any]) -> Any:
    """Sign in on a connection of our own, which can be ended. libpq counts the whole sign-in by itself."""
    connection = dialect.connect(**arguments, defer_connect=True)
    address = connection.host, connection.port
    try:
        opened = socket.create_connection(address, connection.connect_timeout)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    except OSError:
        raise Unavailable(_("The database does not answer, or not now.")) from None
    handle = _begun_on(opened.fileno())
    try:
        connection.connect(opened)
    finally:
        _ended(handle)
    connection.query = _watched_query(connection)
    return connection


def _watched_query(connection: Any) -> Callable[..., Any]:
    """Return what PyMySQL calls for every statement, watched: SQLAlchemy itself sends some past its dialect."""
    query = connection.query

    def watched(*arguments: Any, **named: Any) -> Any:
        deadlines.check_look()
        handle = _begun(connection)
        try:
            return query(*arguments, **named)
        finally:
            _ended(handle)

    return watched


def _watched(dialect: Any, name: str, *, is_statement: bool) -> Callable[..., Any]:
    """Return a method of a dialect that is watched. It is given a cursor for a statement, else a connection."""

    def watched(given: Any, *arguments: Any, **named: Any) -> Any:
        if is_statement:
            deadlines.check_look()
        handle = _begun(given.connection if is_statement else getattr(given, "driver_connection", given))
        try:
            return getattr(type(dialect), name)(dialect, given, *arguments, **named)
        finally:
            _ended(handle)

    return watched


def _begun(connection: Any) -> socket.socket | None:
    """Watch a connection of libpq's or PyMySQL's, by another handle of it; None where it has ended already."""
    if hasattr(connection, "pgconn"):
        return None if connection.closed else _begun_on(connection.pgconn.socket)
    return None if connection._sock is None else _begun_on(connection._sock.fileno())


def _begun_on(descriptor: int) -> socket.socket | None:
    if descriptor < 0:
        return None
    handle = deadlines.handle_of(descriptor)
    deadlines.begin(handle, partial(deadlines.shut, handle))
    return handle


def _ended(handle: socket.socket | None) -> None:
    if handle is not None:
        deadlines.end(handle)
        handle.close()
