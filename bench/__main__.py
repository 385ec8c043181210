"""The tables of `make bench`: each ratio against a baseline of the same run.

python -m bench [--quick]       --quick: 10,000 messages only, a 100 MB download
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator

from bench.installation import ROOT
from tests.services import postgres_programs, running_postgres

DATABASES = ("records", "keys")


@contextlib.contextmanager
def fresh_databases() -> Iterator[Callable[[], tuple[str, ...]] | None]:
    """Yield a function that names two new databases of a throw-away PostgreSQL; None where it is not installed."""
    if postgres_programs() is None:
        print("PostgreSQL is not installed: its rows are left out")
        yield None
        return
    with running_postgres() as server:
        number = iter(range(1000))

        def fresh() -> tuple[str, ...]:
            names = [f"{name}{next(number)}" for name in DATABASES]
            server.create(*names)
            return ("--database", server.url(names[0]), "--keys-database", server.url(names[1]))

        yield fresh


def run(*module_and_arguments: str) -> bool:
    print(flush=True)
    done = subprocess.run([sys.executable, "-W", "ignore", "-m", *module_and_arguments], cwd=ROOT, check=False)
    if done.returncode:
        print(f"FAILED: {' '.join(module_and_arguments)}")
    return done.returncode == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    sizes = ["10000"] if quick else ["10000", "100000"]
    with fresh_databases() as fresh:
        good = [run("bench.store", size) for size in sizes]
        good += [run("bench.requests", size) for size in sizes]
        if fresh is not None:
            good += [run("bench.store", size, *fresh()[:2]) for size in sizes]
            good += [run("bench.requests", size, *fresh()) for size in sizes]
            good.append(run("bench.log", *(["--appends", "2000", "--entries", "10000"] if quick else [])))
        good.append(run("bench.purge_s3", *(["1000"] if quick else [])))
        good.append(run("bench.databases"))  # quick anyhow; with fewer rows, to open a database takes the most of it
        good += [run(f"bench.{places}", *(["1000"] if quick else [])) for places in ("places", "outside")]
        good.append(run("bench.download", *(["100"] if quick else ["1000"])))
        good.append(run("bench.mixed"))
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
