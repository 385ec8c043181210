"""The example server of docs/http-contract.md, run as it stands there."""

from __future__ import annotations

import importlib.util
import sqlite3
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

NAME = "http_contract_server"
SOURCE = Path(__file__).resolve().parents[2] / "docs" / f"{NAME}.py"
SECRET = "0123456789abcdef0123456789abcdef"


def example() -> ModuleType:
    if NAME not in sys.modules:
        spec = importlib.util.spec_from_file_location(NAME, SOURCE)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[NAME] = module
        spec.loader.exec_module(module)
    return sys.modules[NAME]


class ExampleServer:
    def __init__(self, folder: Path) -> None:
        self.database = folder / "notes.db"
        self._server: Any = example().make_server(str(self.database), SECRET)
        self._server.RequestHandlerClass.log_message = lambda *_: None
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.address = f"http://127.0.0.1:{self._server.server_port}/habeas"
        self.run("PRAGMA journal_mode=WAL")

    @property
    def config(self) -> dict[str, Any]:
        return {
            "address": self.address, "key_name": "habeas", "algorithm": "hmac-sha256", "secret": SECRET,
            "identities": ["user_id"],
        }  # fmt: skip

    def run(self, statement: str, *values: Any) -> list[Any]:
        with sqlite3.connect(self.database) as database:
            return database.execute(statement, values).fetchall()

    def put(self, user_id: str, title: str, words: bytes) -> None:
        self.run("INSERT INTO notes (user_id, title, words) VALUES (?, ?, ?)", user_id, title, words)

    def put_many(self, user_id: str, notes: list[tuple[str, bytes]]) -> None:
        with sqlite3.connect(self.database) as database:
            rows = [(user_id, title, words) for title, words in notes]
            database.executemany("INSERT INTO notes (user_id, title, words) VALUES (?, ?, ?)", rows)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
