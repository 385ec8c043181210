"""The one place where the environment is read. A bad or missing value is refused with the variable's name.

Each variable may also be given as NAME_FILE, the path of a file that holds the value. What neither gives is looked up
in the file `environment` of DATA_DIR, which `make run` writes, so that manage.py finds the same site without being told.
Messages never repeat a value that may hold a password.
"""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.exceptions import ImproperlyConfigured
from holidays.registry import COUNTRIES

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
TRUE = {"1", "on", "true", "yes"}
FALSE = {"0", "off", "false", "no"}
PIECE = 8 * 1024 * 1024  # Google's client would hold 100 MiB of an upload in memory, and of what it reads all
IN_PIECES = {"blob_chunk_size": PIECE, "max_memory_size": PIECE}


def data_dir(default: Path) -> Path:
    """Where a single machine keeps everything; what its `environment` says counts from here on."""
    folder = Path(os.environ.get("DATA_DIR") or default)
    file = folder / "environment"
    if file.is_file():
        for line in file.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition("=")
            _of_this_machine[name] = value
    return folder


_of_this_machine: dict[str, str] = {}


def _look_up(name: str) -> str:
    return os.environ.get(name) or _of_this_machine.get(name, "")


def text(name: str, default: str | None = None) -> str:
    """Return the variable, or what NAME_FILE holds; without a default a missing one is refused."""
    value = _look_up(name)
    if value:
        return value
    path = _look_up(f"{name}_FILE")
    if path:
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ImproperlyConfigured(f"{name}_FILE: cannot read {path}: {error}") from None
    if default is None:
        raise ImproperlyConfigured(
            f"{name} is not set: give {name} or {name}_FILE (`make run` makes one for local use)"
        )
    return default


def file_of(name: str) -> Path | None:
    """Return the file that holds the variable, if it is given as NAME_FILE."""
    path = _look_up(f"{name}_FILE")
    return Path(path) if path and not _look_up(name) else None


def flag(name: str, default: bool) -> bool:
    value = text(name, "on" if default else "off").lower()
    if value in TRUE:
        return True
    if value in FALSE:
        return False
    raise ImproperlyConfigured(f"{name}={value!r}: say on or off")


def number(name: str, default: int, *, least: int = 0, most: int | None = None) -> int:
    value = text(name, str(default))
    try:
        result = int(value)
    except ValueError:
        raise ImproperlyConfigured(f"{name}={value!r}: a whole number is wanted") from None
    if result < least:
        raise ImproperlyConfigured(f"{name}={value!r}: at least {least} is wanted")
    if most is not None and result > most:
        raise ImproperlyConfigured(f"{name}={value!r}: at most {most} is wanted")
    return result


def words(name: str, default: str = "") -> list[str]:
    return [part.strip() for part in text(name, default).split(",") if part.strip()]


def folders(name: str) -> list[Path]:
    """Folders of this machine, each an absolute path; the root of the machine is none."""
    paths = [Path(word) for word in words(name)]
    for path in paths:
        if not path.is_absolute() or ".." in path.parts or path == Path(path.anchor):
            raise ImproperlyConfigured(f"{name}={str(path)!r}: an absolute path is wanted, as in /srv/exports")
    return paths


def choice(name: str, default: str, known: tuple[str, ...]) -> str:
    value = text(name, default)
    if value not in known:
        raise ImproperlyConfigured(f"{name}={value!r}: one of {', '.join(known)} is wanted")
    return value


def country(name: str, default: str) -> str:
    """A country whose public holidays are known, as DE or US."""
    value = text(name, default)
    if not any(value in codes[1:] for codes in COUNTRIES.values()):
        raise ImproperlyConfigured(
            f"{name}={value!r}: no country whose public holidays are known; DE or US, for example"
        )
    return value


def signing_key(name: str, *, unlike: str = "") -> str:
    """An Ed25519 seed: 32 bytes in base64. One key signs one kind of thing: `unlike` is refused."""
    value = text(name)
    try:
        seed = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise ImproperlyConfigured(f"{name}: this is not base64 (32 random bytes in base64 are wanted)") from None
    if len(seed) != 32:
        raise ImproperlyConfigured(f"{name}: {len(seed)} bytes; 32 random bytes in base64 are wanted")
    if value == unlike:
        raise ImproperlyConfigured(f"{name}: this key signs something else already; another one is wanted")
    return value


def site_url(name: str, default: str) -> str:
    """The address that people type, without a path."""
    value = text(name, default).rstrip("/")
    parts = _split(name, value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path or parts.query:
        raise ImproperlyConfigured(f"{name}={value!r}: an address is wanted, as in https://privacy.example.org")
    return value


def service_url(name: str, *, required: bool) -> str:
    """The address of another service; "" if it is not used. In clear only on this machine."""
    value = text(name, None if required else "").rstrip("/")
    if not value:
        return ""
    parts = _split(name, value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.username:
        raise ImproperlyConfigured(f"{name}: an address is wanted, as in https://vault.example.org:8200")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ImproperlyConfigured(f"{name}: http:// only on this machine; https:// is wanted")
    return value


def host_of(url: str) -> str:
    """The host of an address as it stands in ALLOWED_HOSTS."""
    host = urlsplit(url).hostname or ""
    return f"[{host}]" if ":" in host else host


def refuse_unless_loopback(sample_site: bool, host: str) -> None:
    """Sample people have passwords that everybody can read."""
    if sample_site and host.strip("[]") not in LOOPBACK:
        raise ImproperlyConfigured(
            f"SAMPLE_SITE=on, and SITE_URL names the host {host}: a sample site lives on 127.0.0.1 only"
        )


def address(name: str, default: str) -> str:
    value = text(name, default)
    if "@" not in value.strip("@"):
        raise ImproperlyConfigured(f"{name}={value!r}: an e-mail address is wanted")
    return value


def time_zone(name: str, default: str) -> str:
    value = text(name, default)
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ImproperlyConfigured(f"{name}={value!r}: no such time zone; a name as Europe/Berlin is wanted") from None
    return value


def database(name: str, default: str) -> dict:
    """Turn sqlite:///path or postgresql://user:password@host:port/name?option=value into Django's shape."""
    value = text(name, default)
    parts = _split(name, value)
    if parts.scheme == "sqlite":
        path = value.removeprefix("sqlite:///")
        if not path or path == value:
            raise ImproperlyConfigured(f"{name}={value!r}: a path is wanted, as in sqlite:////data/records.sqlite3")
        return _sqlite(name, path)
    if parts.scheme in {"postgres", "postgresql"}:
        if not parts.path.strip("/"):
            raise ImproperlyConfigured(
                f"{name}: the name of the database is missing, as in postgresql://user@host/records"
            )
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": unquote(parts.path.strip("/")),
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": parts.hostname or "",
            "PORT": str(parts.port or ""),
            "OPTIONS": dict(parse_qsl(parts.query)),
            "CONN_HEALTH_CHECKS": True,
        }
    raise ImproperlyConfigured(f"{name}: begins with {parts.scheme!r}; sqlite:/// and postgresql:// are known")


def two_databases(databases: dict[str, dict]) -> dict[str, dict]:
    """Refuse one database for both: a key in the backup of what it opens cannot be destroyed (DESIGN §2)."""
    records, wrapped_keys = (_identity(databases[name]) for name in ("default", "keys"))
    if records == wrapped_keys:
        raise ImproperlyConfigured(
            "KEYS_DATABASE_URL names the same database as DATABASE_URL: keys need one of their own"
        )
    return databases


def _identity(database: dict) -> tuple:
    if database["ENGINE"].endswith("sqlite3"):
        return (str(Path(database["NAME"]).resolve()),)
    host = "localhost" if database["HOST"] in {"", *LOOPBACK} else database["HOST"].lower()
    return host, database["PORT"] or "5432", database["NAME"]


def _split(name: str, value: str) -> SplitResult:
    """Take an address apart; a port that is no number is named without repeating the rest."""
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: {error}") from None
    return parts


def _sqlite(name: str, path: str) -> dict:
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(f"{name}: cannot make the folder of {path}: {error.strerror}") from None
    # secure_delete overwrites what is deleted; IMMEDIATE takes the write lock first, so that no transaction dies half way.
    # synchronous=FULL: a power cut takes back no commit; otherwise the other database, the tiles or a bucket would be ahead.
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "OPTIONS": {
            "timeout": 10,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;PRAGMA secure_delete=ON;",
        },
    }


def storage(name: str, value: str) -> dict:
    """Turn file:///path or s3://bucket/prefix?endpoint_url=…&region_name=… into an entry of STORAGES."""
    parts = _split(name, value)
    options = dict(parse_qsl(parts.query))
    if parts.scheme == "file" and parts.path:
        return {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": unquote(parts.path)}}
    if parts.scheme == "s3" and parts.netloc:
        fixed = {"bucket_name": parts.netloc, "location": parts.path.strip("/"), "querystring_auth": True}
        return {
            "BACKEND": "storages.backends.s3.S3Storage",
            "OPTIONS": fixed | {"default_acl": None, "file_overwrite": False} | options,
        }
    if parts.scheme == "gs" and parts.netloc:
        return {
            "BACKEND": "storages.backends.gcloud.GoogleCloudStorage",
            "OPTIONS": {"bucket_name": parts.netloc, "location": parts.path.strip("/")} | IN_PIECES | options,
        }
    if parts.scheme == "azure" and parts.netloc:
        return {
            "BACKEND": "storages.backends.azure_storage.AzureStorage",
            "OPTIONS": {"azure_container": parts.netloc, "location": parts.path.strip("/")} | options,
        }
    raise ImproperlyConfigured(
        f"{name}: begins with {parts.scheme!r}; file:///path, s3://bucket, gs://bucket or azure://container is wanted"
    )


def broker_options(name: str, url: str, folder: Path) -> dict:
    """Return the transport options of a broker; the folders of filesystem:// are made."""
    scheme = _split(name, url).scheme
    if url.startswith("filesystem://"):
        queue, processed, control = folder / "queue", folder / "processed", folder / "control"
        for path in (queue, control):
            path.mkdir(parents=True, exist_ok=True)
        return {
            "data_folder_in": str(queue),
            "data_folder_out": str(queue),
            "processed_folder": str(processed),
            "store_processed": False,
            "control_folder": str(control),
        }
    if url.startswith(("redis://", "rediss://")):
        return {"visibility_timeout": 3600}
    if url.startswith(("amqp://", "amqps://", "memory://")):
        return {}
    raise ImproperlyConfigured(f"{name}: begins with {scheme!r}; redis://, amqp:// or filesystem:// is wanted")


def cache(name: str, default: str) -> dict:
    value = text(name, default)
    scheme = _split(name, value).scheme
    if scheme in {"redis", "rediss"}:
        return {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": value}}
    if value == "locmem://":
        return {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    raise ImproperlyConfigured(f"{name}: begins with {scheme!r}; redis://host:port/0 or locmem:// is wanted")


def email(name: str, default: str) -> tuple[str, dict]:
    """Return the mail backend and its settings."""
    value = text(name, default)
    parts = _split(name, value)
    if parts.scheme == "folder" and parts.path:
        return "apps.mail.backends.FolderBackend", {"folder": unquote(parts.path)}
    if parts.scheme in {"smtp", "smtps"} and parts.hostname:
        options = dict(parse_qsl(parts.query))
        return "django.core.mail.backends.smtp.EmailBackend", {
            "host": parts.hostname,
            "port": parts.port or (465 if parts.scheme == "smtps" else 587),
            "user": unquote(parts.username or ""),
            "password": unquote(parts.password or ""),
            "ssl": parts.scheme == "smtps",
            "tls": parts.scheme == "smtp" and options.get("tls", "1") == "1",
        }
    raise ImproperlyConfigured(
        f"{name}: begins with {parts.scheme!r}; smtp://user:password@host:587 or folder:///path is wanted"
    )
