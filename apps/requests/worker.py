"""What makes any `celery -A config worker` finish what is due by itself: no schedule, no message, nothing to switch on.

A message may be lost (a broker of files loses those of a killed worker), a schedule may be off. So every worker process
looks for due work every few seconds, in threads of its own. A message is only quicker.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from celery.concurrency import prefork
from celery.signals import worker_process_init, worker_process_shutdown, worker_ready, worker_shutting_down
from django.db import close_old_connections, connections

from apps.audit import quarantine
from apps.audit.anchoring import anchor_due
from apps.audit.tasks import sequence_entries
from apps.mail.services import send_due_letters
from apps.records.services import finish_deletions, resume_rewrites, run_due_imports
from apps.requests import engine, upkeep
from apps.requests.workers import STOPPING

log = logging.getLogger(__name__)

POLL_SECONDS = 2.0
SIGN_SECONDS = 0.5  # an entry is to be in a checkpoint within two seconds
FAREWELL_SECONDS = 5.0  # how long a warm shutdown waits for the batch at hand; what is not done then is taken up again
DUTIES: tuple[Callable[[], Any], ...] = (
    engine.drain,
    upkeep.tidy,
    send_due_letters,
    run_due_imports,
    resume_rewrites,
    finish_deletions,
    sequence_entries,
    anchor_due,
)


class Lookout(threading.Thread):
    """Keeps a thread for each duty alive: one that fails is reported in the log, and begun again."""

    def __init__(self) -> None:
        super().__init__(name="lookout", daemon=True)
        self._threads: dict[Callable[[], Any], threading.Thread] = {}

    def run(self) -> None:
        while not STOPPING.wait(POLL_SECONDS):
            for duty in DUTIES:
                if duty not in self._threads or not self._threads[duty].is_alive():
                    self._threads[duty] = threading.Thread(target=repeat, args=(duty,), daemon=True)
                    self._threads[duty].start()

    def wait(self, seconds: float) -> None:
        for thread in list(self._threads.values()):
            thread.join(seconds)


def repeat(duty: Callable[[], Any]) -> None:
    """Do a duty every few seconds until the process is asked to end; in quarantine, none."""
    try:
        while not STOPPING.is_set():
            close_old_connections()
            if not quarantine.reason():
                duty()
            STOPPING.wait(SIGN_SECONDS if duty is sequence_entries else POLL_SECONDS)
    except Exception:  # Python's own hook would print what others' exceptions quote; the log's formatter does not
        log.exception("a duty of this worker failed, and is begun again")
    finally:
        connections.close_all()  # those of this thread


_lookouts: list[Lookout] = []


def start(**_: Any) -> None:
    """Begin to look, once in a process (a forked one begins anew: threads are not inherited)."""
    if not any(lookout.is_alive() for lookout in _lookouts):
        STOPPING.clear()
        _lookouts[:] = [Lookout()]
        _lookouts[0].start()


def start_in_main(sender: Any = None, **_: Any) -> None:
    """Begin in the main process where work is not done in child processes (pools of threads)."""
    if not isinstance(getattr(sender, "pool", None), prefork.TaskPool):
        start()


def ask_to_stop(**_: Any) -> None:
    STOPPING.set()


def stop(**_: Any) -> None:
    """End after the batch at hand; what is not done soon is given up, and taken up again by whoever comes next."""
    STOPPING.set()
    for lookout in _lookouts:
        lookout.wait(FAREWELL_SECONDS)


worker_process_init.connect(start, weak=False)
worker_process_shutdown.connect(stop, weak=False)
worker_ready.connect(start_in_main, weak=False)
worker_shutting_down.connect(ask_to_stop, weak=False)
