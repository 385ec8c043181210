"""The throw-away servers of the tests are what they say."""

from __future__ import annotations

import psycopg
import pytest
from redis import Redis

from tests.services import Postgres

pytestmark = pytest.mark.services


def test_postgres_has_two_databases_for_us(postgres: Postgres) -> None:
    postgres.create("records_of_a_test", "keys_of_a_test")
    with psycopg.connect(postgres.url("keys_of_a_test")) as connection:
        assert connection.execute("SELECT current_database()").fetchone() == ("keys_of_a_test",)


def test_redis_answers(redis: str) -> None:
    assert Redis.from_url(redis).ping()
