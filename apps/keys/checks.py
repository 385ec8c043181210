"""What `manage.py check` says about keys: settings under which destroying a key would not destroy it."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import checks


@checks.register(checks.Tags.security)
def check_databases(app_configs: Any, **options: Any) -> list[checks.CheckMessage]:
    """The keys have a database of their own, and it overwrites what it deletes."""
    keys, records = settings.DATABASES["keys"], settings.DATABASES["default"]
    found: list[checks.CheckMessage] = []
    if all(keys.get(name) == records.get(name) for name in ("ENGINE", "HOST", "PORT", "NAME")):
        hint = "Give KEYS_DATABASE_URL a database of its own: a key in the backup of its data cannot be destroyed."
        found.append(checks.Error("The keys are in the database of the records.", hint=hint, id="keys.E001"))
    start = str(keys.get("OPTIONS", {}).get("init_command", "")).lower().replace(" ", "")
    if "sqlite" in keys["ENGINE"] and "secure_delete=on" not in start:
        hint = "Add PRAGMA secure_delete=ON to the init_command of the keys database."
        found.append(checks.Error("SQLite keeps the bytes of destroyed keys.", hint=hint, id="keys.E002"))
    return found


@checks.register(checks.Tags.security, deploy=True)
def check_master_keys(app_configs: Any, **options: Any) -> list[checks.CheckMessage]:
    """Nobody but the site's own user can read a master key."""
    folder = Path(settings.MASTER_KEY_DIR)
    paths = [folder, *folder.glob("*.key")] if folder.is_dir() else []
    return [
        checks.Warning(f"Others can read {path}.", hint=f"chmod go= {path}", id="keys.W001")
        for path in paths
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    ]
