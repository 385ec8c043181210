"""The one place where the environment is read. A bad or missing value is refused with the variable's name.

Each variable may also be given as NAME_FILE, the path of a file that holds the value.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

TRUE = {"1", "on", "true", "yes"}
FALSE = {"0", "off", "false", "no"}


def text(name: str, default: str | None = None) -> str:
    """Return the variable, or what NAME_FILE holds; without a default a missing one is refused."""
    value = os.environ.get(name)
    if value is not None and value != "":
        return value
    path = os.environ.get(f"{name}_FILE")
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


def flag(name: str, default: bool) -> bool:
    value = text(name, "on" if default else "off").lower()
    if value in TRUE:
        return True
    if value in FALSE:
        return False
    raise ImproperlyConfigured(f"{name}={value!r}: say on or off")


def number(name: str, default: int, *, least: int = 0) -> int:
    value = text(name, str(default))
    try:
        result = int(value)
    except ValueError:
        raise ImproperlyConfigured(f"{name}={value!r}: a whole number is wanted") from None
    if result < least:
        raise ImproperlyConfigured(f"{name}={value!r}: at least {least} is wanted")
    return result


def words(name: str, default: str = "") -> list[str]:
    return [part.strip() for part in text(name, default).split(",") if part.strip()]


def database(name: str, default: str) -> dict:
    """Turn sqlite:///path or postgresql://user:password@host:port/name?option=value into Django's shape."""
    value = text(name, default)
    parts = urlsplit(value)
    if parts.scheme == "sqlite":
        path = value.removeprefix("sqlite:///")
        if not path or path == value:
            raise ImproperlyConfigured(f"{name}={value!r}: a path is wanted, as in sqlite:////data/records.sqlite3")
        return _sqlite(path)
    if parts.scheme in {"postgres", "postgresql"}:
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": unquote(parts.path.lstrip("/")),
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": parts.hostname or "",
            "PORT": str(parts.port or ""),
            "OPTIONS": dict(parse_qsl(parts.query)),
            "CONN_HEALTH_CHECKS": True,
        }
    raise ImproperlyConfigured(f"{name}: begins with {parts.scheme!r}; sqlite:/// and postgresql:// are known")


def _sqlite(path: str) -> dict:
    # secure_delete overwrites what is deleted; IMMEDIATE takes the write lock first, so that no transaction dies half way.
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "OPTIONS": {
            "timeout": 10,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;PRAGMA secure_delete=ON;",
        },
    }


def storage(name: str, value: str) -> dict:
    """Turn file:///path or s3://bucket/prefix?endpoint_url=…&region_name=… into an entry of STORAGES."""
    parts = urlsplit(value)
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
            "OPTIONS": {"bucket_name": parts.netloc, "location": parts.path.strip("/")} | options,
        }
    if parts.scheme == "azure" and parts.netloc:
        return {
            "BACKEND": "storages.backends.azure_storage.AzureStorage",
            "OPTIONS": {"azure_container": parts.netloc, "location": parts.path.strip("/")} | options,
        }
    raise ImproperlyConfigured(
        f"{name}={value!r}: file:///path, s3://bucket, gs://bucket or azure://container is wanted"
    )


def broker_options(url: str, folder: Path) -> dict:
    """Return the transport options of a broker; the folders of filesystem:// are made."""
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
    raise ImproperlyConfigured(f"CELERY_BROKER_URL={url!r}: redis://, amqp:// or filesystem:// is wanted")


def cache(name: str, default: str) -> dict:
    value = text(name, default)
    if value.startswith(("redis://", "rediss://")):
        return {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": value}}
    if value == "locmem://":
        return {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    raise ImproperlyConfigured(f"{name}={value!r}: redis://host:port/0 or locmem:// is wanted")


def email(name: str, default: str) -> tuple[str, dict]:
    """Return the mail backend and its settings."""
    value = text(name, default)
    parts = urlsplit(value)
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
    raise ImproperlyConfigured(f"{name}={value!r}: smtp://user:password@host:587 or folder:///path is wanted")
