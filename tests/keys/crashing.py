"""Dying at the N-th effect: a child process of the test does the work, and ends at one of the points between its writes."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from django.db import OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

DIED, FAILED = 9, 3
WRITES = ("INSERT", "UPDATE", "DELETE", "PRAGMA wal_checkpoint")


class Boom(OperationalError):
    """What the work meets at its point when it is to fail and not to die: as a database that goes away."""


class Points:
    """Counts what has an effect outside the process, before and after it, and ends the work at the one that is wanted."""

    def __init__(self, end_at: int, end: Callable[[], NoReturn]) -> None:
        self.passed = 0
        self._end_at = end_at
        self._end = end

    def point(self) -> None:
        self.passed += 1
        if self.passed == self._end_at:
            self._end()

    def around(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any, **named: Any) -> Any:
            self.point()
            result = real(*arguments, **named)
            self.point()
            return result

        return noted

    def statement(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        return (self.around(execute) if sql.startswith(WRITES) else execute)(sql, params, many, context)

    def install(self) -> None:
        """Only ever in the child: nothing is put back."""
        os.fsync = self.around(os.fsync)
        Path.replace = self.around(Path.replace)  # type: ignore[method-assign]
        BaseDatabaseWrapper._commit = self.around(BaseDatabaseWrapper._commit)  # type: ignore[attr-defined]
        for alias in ("default", "keys"):
            connections[alias].execute_wrappers.append(self.statement)


def die() -> NoReturn:
    os._exit(DIED)  # nothing is flushed, closed or rolled back: as kill -9


def fail() -> NoReturn:
    raise Boom


def each_crash(work: Callable[[], Any], end: Callable[[], NoReturn], *, step: int = 1) -> Iterator[int]:
    """Run the work in children that end at its 1st, 2nd … point, and yield after each, until one reaches its end.

    `step`: end only at every so many; with a number that the work's own rhythm does not divide, over all kinds of points.
    """
    at = 1
    while _child(work, at, end) == DIED:
        yield at
        at += step


def _child(work: Callable[[], Any], end_at: int, end: Callable[[], NoReturn]) -> int:
    connections.close_all()  # SQLite connections must not be carried across a fork (sqlite.org/howtocorrupt.html §2.6)
    child = os.fork()
    if child == 0:
        points = Points(end_at, end)
        try:
            points.install()
            work()
            os._exit(0)
        except BaseException:  # noqa: BLE001  (nothing may return into the copy of the test)
            if points.passed >= end_at:
                os._exit(DIED)
            traceback.print_exc(file=sys.__stderr__)
            os._exit(FAILED)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, DIED), f"the work failed by itself at point {end_at}: {code}"
    return code
