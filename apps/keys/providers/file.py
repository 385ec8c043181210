"""Master keys as files of settings.MASTER_KEY_DIR, one for each epoch, readable by their owner only.

Good for one machine. A file on an SSD, a journal or a snapshot cannot be proven gone once it is deleted (DESIGN §2).
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from apps.keys.errors import KeyStoreDamaged, MasterKeyMissing, MasterKeyUnreachable
from apps.sealing.aead import new_key, unwrap_key, wrap_key
from apps.sealing.signatures import random_token

REFERENCE = re.compile(r"[a-z0-9-]{1,64}")
CONTENT = re.compile(r"[0-9a-f]{64}\n")


class FileProvider:
    """Wraps and unwraps with the key in `<reference>.key`: 64 hexadecimal digits and a line end."""

    is_provable = False
    waiting_days = 0

    def __init__(self) -> None:
        self._folder = Path(settings.MASTER_KEY_DIR)

    def create(self) -> str:
        reference = f"{timezone.now():%Y-%m-%d}-{random_token(5).lower()}"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._write(self.path_of(reference), new_key().hex() + "\n")
        return reference

    def holds(self, reference: str) -> bool:
        return self.path_of(reference).exists()

    def destroy(self, reference: str) -> None:
        """Overwrite, bring that to the disk, then take the name away. What an SSD or a snapshot keeps is not reached."""
        path = self.path_of(reference)
        try:
            with path.open("r+b") as file:
                file.write(secrets.token_bytes(path.stat().st_size))
                file.flush()
                os.fsync(file.fileno())
            path.unlink()
        except FileNotFoundError:
            return
        except OSError as error:
            raise MasterKeyUnreachable(f"the master key {path} cannot be removed ({type(error).__name__})") from None
        self._sync_folder()

    def wrap(self, reference: str, items: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        master_key = self._read(reference)
        return [wrap_key(master_key, key, context=context) for key, context in items]

    def unwrap(self, reference: str, items: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        master_key = self._read(reference)
        return [unwrap_key(master_key, wrapped, context=context) for wrapped, context in items]

    def path_of(self, reference: str) -> Path:
        """Return where the master key is; a reference that could name another place is refused."""
        if not REFERENCE.fullmatch(reference):
            raise KeyStoreDamaged("an epoch's reference is not one of a file provider")
        return self._folder / f"{reference}.key"

    def _write(self, path: Path, text: str) -> None:
        """Write, bring to the disk, then give the name: a file of that name is always whole."""
        draft = path.with_suffix(".new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        self._sync_folder()

    def _sync_folder(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _read(self, reference: str) -> bytes:
        path = self.path_of(reference)
        try:
            text = path.read_text(encoding="ascii")
        except FileNotFoundError:
            raise MasterKeyMissing(
                f"the master key {path} is missing, and keys are wrapped under it: put the file back from its own "
                "backup, or correct MASTER_KEY_DIR"
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise KeyStoreDamaged(f"the master key {path} cannot be read ({type(error).__name__})") from None
        if not CONTENT.fullmatch(text):
            raise KeyStoreDamaged(f"the master key {path} is damaged: put the file back from its own backup")
        return bytes.fromhex(text)
