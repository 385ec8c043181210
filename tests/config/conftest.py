from tests.services import postgres, redis

__all__ = ["postgres", "redis"]
