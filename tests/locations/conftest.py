from tests.services import mariadb, postgres

__all__ = ["mariadb", "postgres"]
