"""Any other django-storages back end, through Django's Storage API.

That API promises little: `delete()` of some back ends swallows every error, `exists()` of some answers False to them, so
neither is believed, and the second look lists again. Nothing is said there of old versions or trash of the provider, so
the horizon is unknown. Tested with FileSystemStorage; SFTP has a module of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

from django import forms
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.files.storage import FileSystemStorage, Storage
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy

from apps.locations import objects, own_ground
from apps.locations.contract import Entry, Health, Identity, Item, Obstacle, Progress, Remaining, Scope
from apps.locations.errors import LocationError, Refused, Unavailable
from apps.locations.fields import SecretText
from apps.locations.finding import Finding, FindingForm
from apps.locations.objects import ANY_TYPE, CHUNK_SIZE, Opened, Stored
from apps.locations.reasons import Reason
from apps.locations.said import said as _
from apps.locations.storage import provider_errors

ERASED_PER_PROGRESS = 200  # and more each time, while as many take less than
QUICK_SECONDS = 10
DEEPEST = 200  # folders one in the other
ALLOWED = ("storages.backends.", "django.core.files.storage.")
WITH_A_KIND = tuple(f"storages.backends.{name}" for name in ("s3", "gcloud", "azure_storage", "sftpstorage"))
SECRET_WORDS = ("secret", "password", "token", "key")


class OptionsField(forms.CharField):
    """One option a line, as in `bucket_name = files`; cleaned to a dictionary."""

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(f"{name} = {text}" for name, text in value.items()) if isinstance(value, dict) else value

    def clean(self, value: Any) -> dict[str, str]:
        options = {}
        for line in str(super().clean(value)).splitlines():
            name, equals, text = line.partition("=")
            if not line.strip():
                continue
            if not equals or not name.strip().isidentifier():
                raise ValidationError(_("Write one option a line, as in: timeout = 20"))
            options[name.strip()] = text.strip()
        return options


class ConfigForm(FindingForm):
    backend = forms.CharField(
        label=gettext_lazy("Back end"), max_length=200,
        help_text=gettext_lazy("As its documentation names it: storages.backends.dropbox.DropboxStorage"),
    )  # fmt: skip
    options = OptionsField(
        label=gettext_lazy("Options"), required=False, widget=forms.Textarea(attrs={"rows": 4}),
        help_text=gettext_lazy("One a line, as in: root_path = /team. Nothing secret here."),
    )  # fmt: skip
    secret_options = OptionsField(
        label=gettext_lazy("Secret options"), required=False, widget=SecretText(attrs={"rows": 2}),
        help_text=gettext_lazy("The same for passwords, keys and tokens. Kept sealed and never shown again."),
    )  # fmt: skip

    secrets = optional_secrets = ("secret_options",)
    field_order = ("backend", "options", "secret_options", "templates", "inventory", "inventory_kind")

    def clean_backend(self) -> str:
        path = str(self.cleaned_data["backend"]).strip()
        try:
            backend_of(path)
        except Refused as error:
            raise ValidationError(error.said) from None
        return path

    def clean_options(self) -> dict[str, str]:
        options: dict[str, str] = self.cleaned_data["options"]
        secret = [name for name in options if any(word in name.lower() for word in SECRET_WORDS)]
        if secret:
            raise ValidationError(_("This belongs to the secret options: %(names)s") % {"names": ", ".join(secret)})
        return options


class StorageConnector:
    label = gettext_lazy("Another django-storages back end")
    ConfigForm: Any = ConfigForm

    def __init__(self, config: dict[str, Any]) -> None:
        self.finding = Finding(config)
        self._config = config
        self._opened: Any = None

    @property
    def storage(self) -> Any:
        if self._opened is None:
            path = str(self._config["backend"])
            options = dict(self._config.get("options") or {}) | dict(self._config.get("secret_options") or {})
            with foreign_errors():
                opened = backend_of(path)(**options)
                refusal = own_ground.refusal(str(opened.location)) if isinstance(opened, FileSystemStorage) else ""
                if refusal:
                    raise Refused(refusal)
                self._opened = opened
        return self._opened

    def identity_kinds(self) -> set[str]:
        return self.finding.kinds()

    def summary(self) -> list[str]:
        return [
            *self.finding.words(),
            _("Reads each file there."),
            _("Erases each file there, one request each, then lists again: a back end's own answer is not believed."),
            _("Knows nothing of old versions or trash that the provider keeps: ask for them."),
        ]

    def check(self) -> Health:
        with foreign_errors():
            self.storage.listdir("")
        facts = ((_("Versions, trash"), _("unknown to this kind")),)
        return Health(True, _("The storage answers."), horizon_days=None, facts=facts)

    def preflight(self, who: Identity, scope: Scope) -> list[Obstacle]:
        self._paths(who)
        return []

    def find(self, who: Identity, scope: Scope) -> Iterator[Item]:
        for name in self._names(who):
            yield Item(name, "file", self._size(name))

    def export(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Entry]:
        return objects.entries(self, who, cursor)

    def erase(self, who: Identity, scope: Scope, cursor: str) -> Iterator[Progress]:
        """Ask for each file to be deleted, and count those that a listing then does not show any more.

        Each time for twice as many, as long as that is quick: a listing of a large folder for every few files that went
        from it would take longer than their deletion.
        """
        names, size = self._names(who), ERASED_PER_PROGRESS
        while batch := list(islice(names, size)):
            began = time.monotonic()
            for name in batch:
                with suppress(Refused, FileNotFoundError), foreign_errors():  # one that stays keeps no other
                    self.storage.delete(name)
            if gone := len(batch) - self._still_there(batch):
                yield Progress(gone, "", {"files": gone})
            if time.monotonic() - began < QUICK_SECONDS:
                size *= 2

    def _still_there(self, names: list[str]) -> int:
        asked, folders = set(names), {name.rpartition("/")[0] for name in names}
        return sum(f"{folder}/{name}".lstrip("/") in asked for folder in folders for name in self._listed(folder)[1])

    def remaining(self, who: Identity, scope: Scope) -> Remaining:
        count = sum(1 for _name in self._names(who))
        return Remaining(count, Reason.CANNOT_DELETE) if count else Remaining(0)

    # Below: what is in the storage. `current`, `look` and `read` are what objects.py reads through.

    def current(self, who: Identity, after: str) -> Iterator[Stored]:
        for name in self._names(who):
            if name > after:
                size = self._size(name)
                yield Stored(name, size or 0, None, str(size))

    def look(self, key: str) -> Stored | None:
        folder, _slash, name = key.rpartition("/")
        if name not in self._listed(folder)[1]:
            return None
        size = self._size(key)
        return None if size is None else Stored(key, size, None, str(size))

    def read(self, stored: Stored, start: int, stop: int) -> Opened | None:
        with foreign_errors():
            try:
                file = self.storage.open(stored.key, "rb")
                file.seek(start)
            except FileNotFoundError:
                return None
        return Opened(ANY_TYPE, chunks_of(file, stop - start))

    def _size(self, name: str) -> int | None:
        with foreign_errors():
            try:
                return int(self.storage.size(name))
            except FileNotFoundError:
                return None

    def _paths(self, who: Identity) -> list[str]:
        self._check_root()
        return [search.path for search in self.finding.searches(who, self._read_inventory)]

    def _check_root(self) -> None:
        """Without its folder a storage looks like one from which everything was deleted: a disk that is not mounted."""
        if isinstance(self.storage, FileSystemStorage) and not Path(self.storage.location).is_dir():
            raise Unavailable(_("The folder is not there; is the disk mounted?"))

    def _read_inventory(self, path: str) -> Iterator[bytes]:
        stored = self.look(path)
        opened = self.read(stored, 0, stored.size) if stored else None
        if opened is None:
            raise Refused(_("The inventory file is not there: nobody can say what is whose."))
        yield from opened.chunks

    def _names(self, who: Identity) -> Iterator[str]:
        """Yield the person's files in the order of their names."""
        for path in self._paths(who):
            if path.endswith("/"):
                yield from self._below(path)
            elif self.look(path) is not None:
                yield path

    def _below(self, folder: str) -> Iterator[str]:
        folders, files = self._listed(folder)
        both = [(f"{name}/", True) for name in folders] + [(name, False) for name in files]
        for name, is_folder in sorted(both):
            if is_folder:
                yield from self._below(folder + name)
            else:
                yield folder + name

    def _listed(self, folder: str) -> tuple[list[str], list[str]]:
        if folder.count("/") > DEEPEST:
            raise Refused(_("Folders lie deeper in each other than can be gone through."))
        with foreign_errors():
            try:
                folders, files = self.storage.listdir(folder.rstrip("/"))
            except (FileNotFoundError, NotADirectoryError):
                return [], []
        return list(folders), list(files)


def backend_of(path: str) -> type[Storage]:
    """Return the back end of this name. Raises Refused for whatever else its module holds: a function would be called with
    the options, and DefaultStorage is that of Habeas itself.

    Those of the large clouds would sign in as the machine does where no key is written; each has a kind of its own.
    """
    if not path.startswith(ALLOWED):
        raise Refused(_("Only the back ends of django-storages and of Django itself."))
    if path.startswith(WITH_A_KIND):
        raise Refused(_("There is a kind of place made for this storage: add one of that kind."))
    try:
        found = import_string(path)
    except ImportError:
        found = None
    if not (isinstance(found, type) and issubclass(found, Storage)):
        raise Refused(_("There is no such back end, or its library is not installed."))
    return found


def chunks_of(file: Any, left: int, close: Callable[[], Any] | None = None) -> Iterator[bytes]:
    """Yield so many bytes from where a file stands. `close`: how it is closed, where not by `close()`."""
    with foreign_errors():
        try:
            while left and (chunk := file.read(min(CHUNK_SIZE, left))):
                left -= len(chunk)
                yield chunk
        finally:
            (close or file.close)()
    if left:
        raise Unavailable(_("A file became shorter while it was read."))


@contextmanager
def foreign_errors() -> Iterator[None]:
    """Turn what a back end throws into ours; a missing file stays FileNotFoundError."""
    try:
        yield
    except (LocationError, FileNotFoundError, NotADirectoryError):
        raise
    except (PermissionError, TypeError, ValueError, NotImplementedError, ImproperlyConfigured) as error:
        raise Refused(
            _("The storage refuses us (%(error)s): check options and permissions.") % {"error": type(error).__name__}
        ) from None
    except (OSError, EOFError):
        raise Unavailable(_("The storage does not answer.")) from None
    except provider_errors() as error:
        if any(word in type(error).__name__ for word in ("Auth", "Forbidden", "BadHostKey")):
            raise Refused(_("The storage does not let us in: check user, password and key.")) from None
        raise Unavailable(_("The storage does not answer.")) from None
