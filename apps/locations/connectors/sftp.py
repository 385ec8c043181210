"""A folder reached by SFTP, through django-storages. Tested against Debian's openssh-server.

The server must show the host key that is written in the settings: whoever answers in its place would be given people's
files. A symbolic link is removed and never followed; where one stands in the way to a person's folder, a person has to
look. django-storages' delete() swallows every error, and its files forget where to read from, so neither is used.
"""

from __future__ import annotations

import base64
import binascii
import io
import stat
from collections.abc import Iterator
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy

from apps.locations import deadlines
from apps.locations.connectors.storages import DEEPEST, ERASED_PER_PROGRESS, StorageConnector, chunks_of, foreign_errors
from apps.locations.contract import Health, Identity, Item, Progress, Scope
from apps.locations.errors import Refused, Unavailable
from apps.locations.fields import SecretText
from apps.locations.finding import FindingForm
from apps.locations.objects import ANY_TYPE, Opened, Stored, in_batches
from apps.locations.said import said as _

MOST_IN_A_FOLDER, MOST_BYTES_OF_NAMES = 500_000, 64 * 1024 * 1024
TIMEOUT = 20  # seconds to connect, to sign in, and for each answer


class ConfigForm(FindingForm):
    host = forms.CharField(label=gettext_lazy("Server"), max_length=253)
    port = forms.IntegerField(label=gettext_lazy("Port"), initial=22, min_value=1, max_value=65535)
    username = forms.CharField(label=gettext_lazy("User"), max_length=64)
    password = forms.CharField(
        label=gettext_lazy("Password"), required=False, max_length=200, widget=forms.PasswordInput,
        help_text=gettext_lazy("Kept sealed and never shown again. Without one, the private key is used."),
    )  # fmt: skip
    private_key = forms.CharField(
        label=gettext_lazy("Private key"), required=False, widget=SecretText(attrs={"rows": 3}), max_length=10_000,
        help_text=gettext_lazy("The whole text, without a passphrase. Kept sealed and never shown again."),
    )  # fmt: skip
    host_key = forms.CharField(
        label=gettext_lazy("Host key of the server"), max_length=2000,
        help_text=gettext_lazy("Type and key, as `ssh-keyscan` prints them: ssh-ed25519 AAAA… Compare it with the server's owner."),
    )  # fmt: skip
    root = forms.CharField(label=gettext_lazy("Folder"), max_length=1024, help_text=gettext_lazy("As in /srv/exports"))

    secrets = optional_secrets = ("password", "private_key")
    field_order = (
        "host", "port", "username", "password", "private_key", "host_key", "root", "templates", "inventory", "inventory_kind",
    )  # fmt: skip

    def clean_host_key(self) -> str:
        parts = [part for part in str(self.cleaned_data["host_key"]).split() if part != str(self.data.get("host", ""))]
        try:
            base64.b64decode(parts[1], validate=True)
        except (IndexError, binascii.Error):
            raise ValidationError(_("Write type and key, as in: ssh-ed25519 AAAA…")) from None
        return " ".join(parts[:2])

    def clean_root(self) -> str:
        root = str(self.cleaned_data["root"])
        if not root.startswith("/") or ".." in root.split("/"):
            raise ValidationError(_("Write an absolute path, as in /srv/exports"))
        return root


class SftpConnector(StorageConnector):
    label = gettext_lazy("SFTP server")
    ConfigForm: Any = ConfigForm

    @property
    def storage(self) -> Any:
        if self._opened is None:
            with foreign_errors():
                self._opened = open_storage(self._config)
        return self._opened

    def summary(self) -> list[str]:
        return [
            *self.finding.words(),
            _("Reads each file there as it is; symbolic links are named and not followed."),
            _("Erases every file and link there, and the folders left empty, then lists again."),
            _("Knows nothing of snapshots or backups of that server: ask its owner."),
        ]

    def check(self) -> Health:
        with foreign_errors():
            try:
                found = self.storage.sftp.stat(self.storage.root_path)
            except FileNotFoundError:
                raise Refused(_("The folder is not there.")) from None
        facts = ((_("Snapshots, backups"), _("unknown to this kind")),)
        if not stat.S_ISDIR(found.st_mode):
            raise Refused(_("The path is not a folder."))
        return Health(True, _("The server answers and shows the right key."), horizon_days=None, facts=facts)

    def find(self, who: Identity, scope: Scope) -> Iterator[Item]:
        """The listing tells sizes; before anything is read, each name is asked for by itself (`look`)."""
        for path in self._paths(who):
            if path.endswith("/"):
                yield from self._found_below(path)
            elif (found := self._lstat(path)) is not None:
                yield Item(path, "file", int(found.st_size or 0))

    def erase(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Progress]:
        """Remove each file and link, and count those that went; then the folders left empty. A repeat finds what is left."""
        for batch in in_batches(self._names(who), ERASED_PER_PROGRESS):
            if gone := sum(self._remove(name) for name in batch):
                yield Progress(gone, "", {"files": gone})
        for path in self._paths(who):
            if path.endswith("/"):
                self._remove_empty(path)

    def _remove(self, name: str) -> bool:
        """Say whether a name went. What the server keeps is found again at the second look, and does not keep the others."""
        with foreign_errors():
            try:
                self.storage.sftp.remove(self.storage._remote_path(name))
            except FileNotFoundError:
                return False
            except OSError:  # refused, or the connection was lost: then this look fails as well
                return self._lstat(name) is None
        return True

    def look(self, key: str) -> Stored | None:
        found = self._lstat(key)
        return None if found is None else _stored(key, found)

    def current(self, who: Identity, after: str) -> Iterator[Stored]:
        for name in self._names(who):
            stored = self.look(name) if name > after else None
            if stored is not None:
                yield stored

    def read(self, stored: Stored, start: int, stop: int) -> Opened | None:
        if stored.labels:
            return Opened(ANY_TYPE, [])
        with foreign_errors():
            try:
                file = self.storage.sftp.open(self.storage._remote_path(stored.key), "rb")
            except FileNotFoundError:
                return None
            file.seek(start)
        # paramiko closes a file that is let go, and waits for no answer to that (SFTPFile.__del__).
        return Opened(ANY_TYPE, chunks_of(file, stop - start, lambda: None))

    def _found_below(self, folder: str) -> Iterator[Item]:
        with foreign_errors():
            try:
                listed = self.storage.sftp.listdir_attr(self.storage._remote_path(folder.rstrip("/")))
            except (FileNotFoundError, NotADirectoryError):
                return
        found = sorted(
            (f"{one.filename}/" if stat.S_ISDIR(one.st_mode or 0) else one.filename, one.st_size or 0) for one in listed
        )
        del listed
        for name, size in found:
            if name.endswith("/"):
                yield from self._found_below(folder + name)
            else:
                yield Item(folder + name, "file", size)

    def _lstat(self, name: str) -> Any:
        with foreign_errors():
            try:
                return self.storage.sftp.lstat(self.storage._remote_path(name))
            except FileNotFoundError:
                return None

    def _check_root(self) -> None:
        with foreign_errors():
            try:
                self.storage.sftp.stat(self.storage.root_path)
            except FileNotFoundError:
                raise Unavailable(_("The folder is not there; is the disk mounted?")) from None

    def _paths(self, who: Identity) -> list[str]:
        """Return where to look; refuse a way on which a link could lead to somebody else."""
        paths = super()._paths(who)
        for path in paths:
            parts = path.split("/")[:-1]
            for length in range(1, len(parts) + 1):
                found = self._lstat("/".join(parts[:length]))
                if found is not None and stat.S_ISLNK(found.st_mode):
                    raise Refused(_("A symbolic link stands in the way; it is not followed. A person has to look."))
        return paths

    def _remove_empty(self, folder: str) -> None:
        """Remove a folder and those below it, deepest first, as far as they are empty."""
        for below in self._listed(folder)[0]:
            self._remove_empty(f"{folder}{below}/")
        if self._listed(folder) == ([], []) and self._lstat(folder.rstrip("/")) is not None:
            with foreign_errors():
                try:
                    self.storage.sftp.rmdir(self.storage._remote_path(folder.rstrip("/")))
                except FileNotFoundError:
                    return


def _stored(key: str, found: Any) -> Stored:
    if stat.S_ISREG(found.st_mode):
        return Stored(key, int(found.st_size or 0), None, f"{found.st_size} {found.st_mtime}")
    return Stored(key, 0, None, "", {"not_followed": "link" if stat.S_ISLNK(found.st_mode) else "special file"})


def open_storage(config: dict[str, Any]) -> Any:
    """Return django-storages' storage, made to refuse a server with another host key."""
    import paramiko
    from storages.backends.sftpstorage import SFTPStorage

    kind, _space, text = str(config["host_key"]).partition(" ")
    host_key = paramiko.PKey.from_type_string(kind, base64.b64decode(text))
    host, port = str(config["host"]), int(config["port"])
    name = host if port == 22 else f"[{host}]:{port}"

    class Guarded(paramiko.SFTPClient):
        """Ends the connection when an answer drips; takes no more names than can be held, and none that is a path."""

        def _read_packet(self) -> Any:
            deadlines.check_look()
            deadlines.begin(self, self.get_channel().get_transport().close)
            try:
                return super()._read_packet()
            finally:
                deadlines.end(self)

        def listdir_attr(self, path: str = ".") -> list[Any]:
            if path.count("/") > DEEPEST:
                raise Refused(_("Folders lie deeper in each other than can be gone through."))
            found: list[Any] = []
            size = 0
            for one in self.listdir_iter(path, read_aheads=1):
                size += len(one.filename)
                if len(found) >= MOST_IN_A_FOLDER or size > MOST_BYTES_OF_NAMES:
                    raise Refused(_("A folder holds more files than can be gone through."))
                if "/" in one.filename or "\0" in one.filename:
                    raise Refused(_("The server names a file in a way that leads elsewhere. A person has to look."))
                found.append(one)
            return found

    class StrictStorage(SFTPStorage):
        def _connect(self) -> None:
            client = paramiko.SSHClient()
            client.get_host_keys().add(name, kind, host_key)
            client.set_missing_host_key_policy(paramiko.RejectPolicy())
            try:
                client.connect(self.host, **self.params)
            except (paramiko.SSHException, OSError, EOFError) as error:
                client.close()
                if "not found in known_hosts" in str(error):  # another type of key than the one that is known
                    raise Refused(_("The server shows another host key than the one that is written down.")) from None
                raise
            self._ssh = client
            self._sftp = Guarded.from_transport(client.get_transport())
            self._sftp.get_channel().settimeout(TIMEOUT)

    params = {
        "port": port, "username": str(config["username"]), "timeout": TIMEOUT, "banner_timeout": TIMEOUT,
        "auth_timeout": TIMEOUT, "look_for_keys": False, "allow_agent": False,
    }  # fmt: skip
    if config.get("private_key"):
        params["pkey"] = _private_key(str(config["private_key"]))
    if config.get("password"):
        params["password"] = str(config["password"])
    return StrictStorage(host=host, params=params, root_path=str(config["root"]), known_host_file="/nonexistent")


def _private_key(text: str) -> Any:
    import paramiko

    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(io.StringIO(text.replace("\r\n", "\n").strip() + "\n"))
        except paramiko.SSHException:
            continue
    raise Refused(_("The private key cannot be read: Ed25519, ECDSA or RSA without a passphrase is wanted."))
