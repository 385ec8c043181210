"""/healthz: the process answers. /readyz: it can do its work, and if not, which part is missing, or that the site stands
in quarantine after a restore. Anchors of the log that are too few or late make it degraded, not unready: the site works,
and somebody has to look.
"""

from __future__ import annotations

from django.core.cache import cache
from django.db import DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from redis.exceptions import RedisError

from apps.audit import anchoring, quarantine

PARTS = {"default": "records", "keys": "keys"}


def healthz(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok\n", content_type="text/plain")


def readyz(request: HttpRequest) -> HttpResponse:
    parts = {name: _database(alias) for alias, name in PARTS.items()} | {"cache": _cache()}
    if all(state == "ok" for state in parts.values()) and (why := quarantine.reason()):
        parts["quarantine"] = why
    ready = all(state == "ok" for state in parts.values())
    parts["anchors"] = _anchors() if parts["records"] == "ok" else "not known"
    return JsonResponse(parts, status=200 if ready else 503, headers={"Cache-Control": "no-store"})


def _database(alias: str) -> str:
    try:
        executor = MigrationExecutor(connections[alias])
        waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError:
        return "does not answer"
    return "migrations are waiting" if waiting else "ok"


def _anchors() -> str:
    problem = anchoring.problem()
    return f"degraded: {problem}" if problem else "ok"


def _cache() -> str:
    try:
        cache.get("ready")
    except (RedisError, OSError):
        return "does not answer"
    return "ok"
