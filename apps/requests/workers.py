"""Who holds a lease: so that after a crash on one machine nobody waits ten minutes for a dead process's lease.

A worker elsewhere is not judged: its lease runs out by itself, and the fencing token keeps out whoever comes late.
"""

from __future__ import annotations

import os
import socket
import threading
from functools import lru_cache
from pathlib import Path

STOPPING = threading.Event()  # set when this process is asked to end: finish the batch, take no new step
UNKNOWN = "?"
NO_SUCH_PROCESS = ""
DEAD = {"Z", "X"}  # killed, and not yet fetched by its parent


def me() -> str:
    """Return the name of this process: machine and process space, process id, when it started."""
    return _name(os.getpid())


@lru_cache(maxsize=4)
def _name(pid: int) -> str:
    return f"{here()} {pid} {_started(pid)}"


@lru_cache(maxsize=1)
def here() -> str:
    """Return the name of this machine and process space; process ids mean nothing outside it."""
    try:
        space = (
            str(Path("/proc/self/ns/pid").readlink()) + Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
        )
    except OSError:
        space = "no-proc"
    return f"{socket.gethostname()[:60]}/{space}".replace(" ", "-")


def is_gone(worker: str) -> bool:
    """Say whether that process surely does not run any more; False where that cannot be known."""
    place, pid, started = worker.split(" ") if worker.count(" ") == 2 else ("", "", "")
    if place != here() or started == UNKNOWN or not pid.isdigit():
        return False
    now = _started(int(pid))
    return now not in (UNKNOWN, started)


def _started(pid: int) -> str:
    """Return when a process started, in ticks since boot (proc_pid_stat(5), field 22)."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return NO_SUCH_PROCESS if Path("/proc/self/stat").exists() else UNKNOWN
    except OSError:
        return UNKNOWN
    return NO_SUCH_PROCESS if state in DEAD else fields[18]
