"""Sessions in the database, their content sealed: codes on their way, forms that wait for a fresh sign-in, addresses."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from django.contrib.sessions.backends import db
from django.contrib.sessions.models import Session

from apps.keys import services as keys
from apps.sealing import aead, content
from apps.sealing.errors import DecryptionError


class SessionStore(db.SessionStore):
    """Django's store with one difference: `session_data` is sealed under the site key, bound to the session's key."""

    @classmethod
    def get_model_class(cls) -> type[Session]:
        return Session

    def encode(self, session_dict: dict[str, Any]) -> str:
        sealed = content.seal_json(keys.site_key("sessions"), session_dict, context=self._place())
        return base64.b64encode(sealed).decode()

    def decode(self, session_data: str | bytes) -> dict[str, Any]:
        """Open a session; what does not open is an empty one, as in Django: the person signs in again."""
        try:
            return content.unseal_json(
                keys.site_key("sessions"), base64.b64decode(session_data, validate=True), context=self._place()
            )
        except (DecryptionError, binascii.Error):
            return {}

    def _validate_session_key(self, key: str | None) -> bool:
        """Take only what Django makes: a quoted cookie may hold any character, and PostgreSQL refuses NUL."""
        return key is not None and len(key) >= 8 and key.isascii() and key.isalnum()

    def _place(self) -> bytes:
        return aead.associated_data("sessions.session", "session_data", self.session_key or "")
