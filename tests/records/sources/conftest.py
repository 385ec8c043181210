"""Places of every kind to bring conversations in from."""

from tests.locations.stores.conftest import (
    files_place,
    mariadb_place,
    mongo_place,
    moto,
    postgres_place,
    s3_place,
    sqlite_place,
)
from tests.services import mariadb, postgres

__all__ = [
    "files_place",
    "mariadb",
    "mariadb_place",
    "mongo_place",
    "moto",
    "postgres",
    "postgres_place",
    "s3_place",
    "sqlite_place",
]
