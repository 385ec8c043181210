"""Connections that are lost: calls are counted where they leave the process, and one of them fails.

for n in every_call(failing, run):      # run once for each n, with call n lost, until a run needs no more calls
    ...
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

MOST_CALLS = 400


@dataclass
class Calls:
    """How many calls were made, and which of them is lost; with `lasting` all that come after it as well."""

    lost: int | None = None
    lasting: bool = True
    made: int = 0

    def count(self, error: Callable[[], BaseException]) -> None:
        self.made += 1
        if self.lost is not None and (self.made == self.lost or (self.lasting and self.made > self.lost)):
            raise error()

    @property
    def was_lost(self) -> bool:
        return self.lost is not None and self.made >= self.lost


@contextlib.contextmanager
def failing_at(
    n: int | None, *targets: str, error: Callable[[], BaseException], lasting: bool = True
) -> Iterator[Calls]:
    """Lose call `n` (from 1) of the named functions ("package.module.Class.method"), and with `lasting` every later one.

    None loses nothing and counts. Waiting between repeats is left out.
    """
    calls = Calls(n, lasting)
    with contextlib.ExitStack() as stack:
        for target in targets:
            owner, name = _owner(target)
            stack.enter_context(mock.patch.object(owner, name, _counting(getattr(owner, name), calls, error)))
        stack.enter_context(mock.patch("time.sleep", lambda seconds: None))
        yield calls


def _owner(target: str) -> tuple[Any, str]:
    """Return the module or class that holds a function, and the function's name."""
    *parts, name = target.split(".")
    for length in range(len(parts), 0, -1):
        with contextlib.suppress(ModuleNotFoundError):
            found: Any = importlib.import_module(".".join(parts[:length]))
            for part in parts[length:]:
                found = getattr(found, part)
            return found, name
    raise ModuleNotFoundError(target)


def _counting(function: Any, calls: Calls, error: Callable[[], BaseException]) -> Any:
    def counted(*arguments: Any, **named: Any) -> Any:
        calls.count(error)
        return function(*arguments, **named)

    return counted
