"""Opens MongoDB from the settings of a place, and turns its errors into ours.

`config` holds `hosts` ("host:port, host:port", or one name with `is_srv`), `replica_set`, `database`, `user`, `password`,
`auth_database`, `tls` (a key of TLS) and `ca_file`. The server's own words are never passed on: they quote documents.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bson.codec_options import CodecOptions
from bson.errors import BSONError
from django.utils.translation import gettext_lazy
from pymongo import MongoClient
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    CursorNotFound,
    ExecutionTimeout,
    InvalidOperation,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WriteError,
    WTimeoutError,
)

from apps.locations.errors import LocationError, Refused, Unavailable
from apps.locations.said import said as _

TLS = {
    "verify": gettext_lazy("Encrypted, and the server's certificate is checked"),
    "encrypt": gettext_lazy("Encrypted, whoever answers"),
    "off": gettext_lazy("Not encrypted: only on the same machine or a private network"),
}
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
HOST = re.compile(
    r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
)  # and nothing that the driver takes for an option
Client = MongoClient[dict[str, Any]]


class KindForbids(Refused):
    """The collection is of a kind from which single documents cannot be deleted."""


def client_of(config: dict[str, Any]) -> Client:
    """Return a client; nothing is connected yet. Close it after use, and use it within `foreign_errors`.

    Reads go to the primary: a second look at a member that lags behind would see what is gone, or not see what is there.
    Writes wait for a majority: what only one member deleted comes back when another one takes over.
    """
    hosts = [host.strip() for host in str(config["hosts"]).split(",") if host.strip()]
    if not hosts:
        raise Refused(_("No host is named."))
    if not all(map(HOST.fullmatch, hosts)):
        raise Refused(_("Write hosts as in db1.example.org:27017, with commas between."))
    options: dict[str, Any] = {
        "serverSelectionTimeoutMS": int(CONNECT_SECONDS * 1000),
        "connectTimeoutMS": int(CONNECT_SECONDS * 1000),
        "socketTimeoutMS": int(ANSWER_SECONDS * 1000),
        "appname": "habeas",
        "maxPoolSize": 2,
        "readPreference": "primary",
        "retryReads": True,
        "retryWrites": True,
        "tz_aware": True,
        "uuidRepresentation": "standard",
    }
    if len(hosts) == 1 and not config.get("replica_set") and not config.get("is_srv"):
        options["directConnection"] = True
    if config.get("replica_set"):
        options |= {"replicaSet": str(config["replica_set"]), "w": "majority"}
    if config.get("user"):
        source = str(config.get("auth_database") or "admin")
        options |= {"username": str(config["user"]), "password": str(config["password"]), "authSource": source}
    options |= _tls_options(config)
    address = f"mongodb+srv://{hosts[0]}/" if config.get("is_srv") else f"mongodb://{','.join(hosts)}/"
    with foreign_errors():
        return MongoClient(address, **options)


def _tls_options(config: dict[str, Any]) -> dict[str, Any]:
    mode = str(config.get("tls") or "verify")
    if mode not in TLS:
        raise Refused(_("How the connection is encrypted is not known."))
    options: dict[str, Any] = {"tls": mode != "off"}
    if mode == "encrypt":
        options["tlsAllowInvalidCertificates"] = True
    if mode == "verify" and config.get("ca_file"):
        options["tlsCAFile"] = str(config["ca_file"])
    return options


def codec_of(document_class: type) -> CodecOptions[Any]:
    """Return how documents are read: dates with their zone, text that is not UTF-8 shown and not lost."""
    return CodecOptions(document_class=document_class, tz_aware=True, unicode_decode_error_handler="backslashreplace")


NOT_LET_IN = {18, 11}  # AuthenticationFailed, UserNotFound
NOT_PERMITTED = {13, 8000}  # Unauthorized, AtlasError
CANNOT_DELETE = {20, 72, 101, 10101, 166, 167}  # IllegalOperation, InvalidOptions, capped and time-series collections
LATER = {6, 7, 50, 89, 91, 112, 189, 202, 262, 9001, 10107, 11600, 11602, 13435, 13436, 24, 46, 43}


@contextmanager
def foreign_errors() -> Iterator[None]:
    """Turn the driver's and the server's errors into those of apps.locations.errors."""
    try:
        yield
    except (PyMongoError, BSONError, OSError, ValueError) as error:
        raise _meaning(error) from None


def _meaning(error: Exception) -> LocationError:
    if isinstance(error, ServerSelectionTimeoutError) and _is_about_a_certificate(error):
        return Refused(_("The encrypted connection cannot be made: check the certificate and the TLS setting."))
    if isinstance(error, (ExecutionTimeout, CursorNotFound, WTimeoutError, NetworkTimeout, AutoReconnect)):
        return Unavailable(_("MongoDB does not answer, or not now."))
    if isinstance(error, BulkWriteError):
        codes = [int(item.get("code", 0)) for item in error.details.get("writeErrors", [])]
        return _of_code(codes[0] if codes else 0)
    if isinstance(error, (WriteError, OperationFailure)):
        return _of_code(int(error.code or 0))
    if isinstance(error, BSONError):
        return Refused(_("A document cannot be read: it is damaged."))
    if isinstance(error, OSError):
        return Unavailable(_("MongoDB does not answer."))
    if isinstance(error, (ConfigurationError, InvalidOperation, ValueError)):
        return Refused(_("The address of MongoDB or its settings are not valid."))
    return Unavailable(_("MongoDB does not answer."))


def _is_about_a_certificate(error: Exception) -> bool:
    """Read the driver's words, which go no further."""
    return "CERTIFICATE_VERIFY_FAILED" in str(error) or "certificate verify failed" in str(error)


def _of_code(code: int) -> LocationError:
    if code in NOT_LET_IN:
        return Refused(_("MongoDB does not let us in: check the user and the password."))
    if code in NOT_PERMITTED:
        return Refused(_("The MongoDB user may not do that: a role is missing."))
    if code in CANNOT_DELETE:
        return KindForbids(_("A collection is of a kind from which single documents cannot be deleted."))
    if code in LATER:
        return Unavailable(_("MongoDB cannot answer just now (%(code)s).") % {"code": code})
    return Refused(_("MongoDB refuses what we ask (%(code)s).") % {"code": code})
