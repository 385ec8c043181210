"""Places of every kind to bring conversations in from."""

from tests.azurite import azurite
from tests.contracts.kinds_clouds import gcs_emulator
from tests.locations.stores.conftest import (
    azure_place,
    files_place,
    gcs_place,
    mariadb_place,
    mongo_place,
    moto,
    postgres_place,
    s3_place,
    sftp_place,
    sqlite_place,
)
from tests.services import mariadb, postgres
from tests.sftp import sftp

__all__ = [
    "azure_place",
    "azurite",
    "files_place",
    "gcs_emulator",
    "gcs_place",
    "mariadb",
    "mariadb_place",
    "mongo_place",
    "moto",
    "postgres",
    "postgres_place",
    "s3_place",
    "sftp",
    "sftp_place",
    "sqlite_place",
]
