"""The site's settings for tests: an installation of its own in a temporary folder, nothing shared between processes."""

import atexit
import base64
import os
import shutil
import tempfile
from pathlib import Path

# Each signature and commit is synced to the disk, thousands of times in a run of the tests: memory is quicker.
_memory = Path("/dev/shm")
if "TMPDIR" not in os.environ and _memory.is_dir() and shutil.disk_usage(_memory).free > 4 * 1024**3:
    os.environ["TMPDIR"] = str(_memory)
    tempfile.tempdir = None  # asked for again

_folder = Path(tempfile.mkdtemp(prefix="habeas-test-"))
atexit.register(shutil.rmtree, _folder, ignore_errors=True)
(_folder / "static").mkdir()
os.environ.update(
    {
        "DATA_DIR": str(_folder),
        "STATIC_ROOT": str(_folder / "static"),
        "SECRET_KEY": "only-for-tests-" + "x" * 40,
        "LOG_SIGNING_KEY": base64.b64encode(b"L" * 32).decode(),
        "ARCHIVE_SIGNING_KEY": base64.b64encode(b"A" * 32).decode(),
        "CELERY_BROKER_URL": "memory://",
        "COMMAND_LINE_APPROVAL": "on",
        "LOCATION_ROOTS": str(Path(tempfile.gettempdir()).resolve()),  # where pytest makes its folders
        "STAFF_SECOND_STEP": "off",  # tests/accounts switches it on
        "SITE_URL": "http://testserver",
        "ALLOWED_HOSTS": "testserver,127.0.0.1,localhost",
        "ANCHORS_WANTED": "0",  # tests/audit/anchors has some
    }
)
os.environ.setdefault("DATABASE_URL", f"sqlite:///{_folder / 'records.sqlite3'}")
os.environ.setdefault("KEYS_DATABASE_URL", f"sqlite:///{_folder / 'keys' / 'keys.sqlite3'}")

from config.settings import *  # noqa: E402, F403
from config.settings import DATABASES, STORAGES  # noqa: E402

for _name, _database in DATABASES.items():
    if _database["ENGINE"].endswith("sqlite3"):  # a file as in production, not SQLite's memory
        (_folder / _name).mkdir(parents=True, exist_ok=True)
        _database["TEST"] = {"NAME": str(_folder / _name / "test.sqlite3")}
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
