"""What every test shares: an installation of its own in a temporary folder, and time that can be moved."""

from __future__ import annotations

import base64
import os
import tempfile
from pathlib import Path

# Before Django reads its settings: each worker process of the test run has its own folder and keys.
_folder = Path(tempfile.mkdtemp(prefix="habeas-test-"))
os.environ.setdefault("DATA_DIR", str(_folder))
os.environ.setdefault("SECRET_KEY", "only-for-tests-" + "x" * 40)
os.environ.setdefault("LOG_SIGNING_KEY", base64.b64encode(b"L" * 32).decode())
os.environ.setdefault("ARCHIVE_SIGNING_KEY", base64.b64encode(b"A" * 32).decode())
os.environ.setdefault("CELERY_BROKER_URL", "memory://")
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
