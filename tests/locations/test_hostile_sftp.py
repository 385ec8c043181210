"""An SFTP server that turns hostile: names that are paths, folders without end, a root that is gone, answers that drip."""

from __future__ import annotations

import base64
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import paramiko
import pytest

from apps.locations import deadlines
from apps.locations.connectors import sftp
from apps.locations.connectors.sftp import SftpConnector
from apps.locations.contract import Identity, Scope
from apps.locations.errors import Refused, Unavailable

ADA = Identity(uuid4(), None, None, (("user_id", "4"),))
HOST_KEY = paramiko.RSAKey.generate(2048)


class Hostile(paramiko.SFTPServerInterface):
    """Every path is a folder; `listed` says what is in it."""

    listed: list[tuple[str, bool]] = []
    is_gone = False
    seconds = 0.0

    def _about(self, name: str, *, is_folder: bool) -> paramiko.SFTPAttributes:
        about = paramiko.SFTPAttributes()
        about.filename = name
        about.st_mode, about.st_size, about.st_mtime = (0o040755 if is_folder else 0o100644), 1, 1
        return about

    def list_folder(self, path: str) -> Any:
        time.sleep(self.seconds)
        if type(self).is_gone:
            return paramiko.SFTP_NO_SUCH_FILE
        return [self._about(name, is_folder=is_folder) for name, is_folder in self.listed]

    def stat(self, path: str) -> Any:
        return paramiko.SFTP_NO_SUCH_FILE if type(self).is_gone else self._about(path, is_folder=True)

    lstat = stat


class Door(paramiko.ServerInterface):
    def check_auth_password(self, username: str, password: str) -> int:
        return int(paramiko.AUTH_SUCCESSFUL)

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return int(paramiko.OPEN_SUCCEEDED)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[SftpConnector]:
    monkeypatch.setattr(Hostile, "listed", [("a.txt", False)])
    listening = socket.create_server(("127.0.0.1", 0))
    transports: list[paramiko.Transport] = []

    def serve() -> None:
        while True:
            try:
                connection, _address = listening.accept()
            except OSError:
                return
            transport = paramiko.Transport(connection)
            transports.append(transport)
            transport.add_server_key(HOST_KEY)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, Hostile)
            transport.start_server(server=Door(), event=threading.Event())

    threading.Thread(target=serve, daemon=True).start()
    key = f"{HOST_KEY.get_name()} {base64.b64encode(HOST_KEY.asbytes()).decode()}"
    yield SftpConnector({
        "host": "127.0.0.1", "port": listening.getsockname()[1], "username": "u", "password": "p", "host_key": key,
        "root": "/srv", "templates": ["people/{user_id}/"],
    })  # fmt: skip
    listening.close()
    for transport in transports:
        transport.close()


def names(place: SftpConnector) -> list[str]:
    return [item.name for item in place.find(ADA, Scope())]


def test_names_are_taken_as_they_are(place: SftpConnector) -> None:
    assert names(place) == ["people/4/a.txt"]
    assert place.remaining(ADA, Scope()).count == 1


@pytest.mark.parametrize("name", ["../5/secret.txt", "x/../../5/secret.txt", "/etc/passwd", "a\0b"])
def test_a_name_that_is_a_path_is_refused(place: SftpConnector, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(Hostile, "listed", [("a.txt", False), (name, False)])
    with pytest.raises(Refused):
        names(place)
    with pytest.raises(Refused):
        list(place.erase(ADA, Scope(), ""))


def test_folders_that_lie_in_each_other_without_end_are_refused(
    place: SftpConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Hostile, "listed", [("again", True)])
    with pytest.raises(Refused):
        names(place)
    with pytest.raises(Refused):
        place.remaining(ADA, Scope())


def test_a_folder_with_more_names_than_can_be_held_is_refused(
    place: SftpConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Hostile, "listed", [(f"{number}.txt", False) for number in range(30)])
    assert len(names(place)) == 30
    monkeypatch.setattr(sftp, "MOST_IN_A_FOLDER", 29)
    with pytest.raises(Refused):
        names(place)


def test_where_the_root_is_gone_nothing_is_said_to_be_erased(
    place: SftpConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Hostile, "is_gone", True)
    with pytest.raises(Unavailable):
        place.remaining(ADA, Scope())
    with pytest.raises(Unavailable):
        list(place.erase(ADA, Scope(), ""))


def test_an_answer_that_takes_too_long_ends_the_connection(
    place: SftpConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert names(place)
    monkeypatch.setattr(deadlines, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(deadlines, "TICK_SECONDS", 0.02)
    monkeypatch.setattr(deadlines, "_watchdog", deadlines.Watchdog())
    monkeypatch.setattr(Hostile, "seconds", 3.0)
    began = time.monotonic()
    with pytest.raises(Unavailable):
        names(place)
    assert time.monotonic() - began < 2.5
