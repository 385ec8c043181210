"""A strict stand-in for MongoDB: it speaks the wire protocol (OP_MSG) over TCP, so that the real driver talks to it.

Written from MongoDB's manual and driver specifications: it knows what the places use (find, getMore, killCursors,
aggregate as count_documents sends it, insert, update, delete, listCollections, listIndexes, createIndexes, hello, ping,
buildInfo, connectionStatus, SCRAM-SHA-256) and answers everything else with the error that a server gives for something
unknown. It is no MongoDB: it proves what we send and how we take the answers, in the documented meaning.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import secrets
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import bson
from bson import Binary, Decimal128, Int64, ObjectId, Regex, Timestamp

Document = dict[str, Any]
OP_MSG, OP_QUERY, OP_REPLY = 2013, 2004, 1
BATCH = 101  # documents in a first answer, as a server gives
SORTED_WITHOUT_INDEX = (
    100 * 1024 * 1024
)  # bytes (manual, "Sort and Memory"; before 6.0 nothing goes to the disk unasked)
ITERATIONS = 4096
WITHOUT_SIGN_IN = {"hello", "ismaster", "isMaster", "saslStart", "saslContinue", "ping", "buildInfo"}
MISSING = object()
OPTIONS: bson.CodecOptions[Any] = bson.CodecOptions(tz_aware=True)
# The order of types (manual, "Comparison/Sort Order"), with their names for $type.
ORDER: list[tuple[tuple[str, ...], tuple[type, ...]]] = [
    (("null",), (type(None),)), (("int", "long", "double", "decimal"), (int, float, Int64, Decimal128)),
    (("string",), (str,)), (("object",), (dict,)), (("array",), (list,)), (("binData",), (bytes, Binary, UUID)),
    (("objectId",), (ObjectId,)), (("bool",), (bool,)), (("date",), (datetime,)), (("timestamp",), (Timestamp,)),
]  # fmt: skip


class Failed(Exception):
    def __init__(self, code: int, name: str) -> None:
        super().__init__(name)
        self.code, self.name = code, name


BRACKETS = {kind: number for number, (_names, types) in enumerate(ORDER) for kind in types}


def bracket(value: Any) -> int:
    return BRACKETS[type(value)]


def sort_key(value: Any) -> tuple[int, Any]:
    value = None if value is MISSING else value
    return bracket(value), 0 if value is None else bytes(value) if isinstance(value, bytes) else value


def at_path(document: Any, path: str) -> Iterator[Any]:
    """Yield every value at a dotted path; a list on the way stands for each of its elements."""
    head, _dot, rest = path.partition(".")
    if isinstance(document, list):
        for element in document:
            if isinstance(element, dict):
                yield from at_path(element, path)
        return
    if not isinstance(document, dict) or head not in document:
        yield MISSING
    elif rest:
        yield from at_path(document[head], rest)
    else:
        yield document[head]


def same(stored: Any, given: Any) -> bool:
    stored = None if stored is MISSING else stored
    return bracket(stored) == bracket(given) and bool(stored == given)


class Among(frozenset[tuple[int, Any]]):
    """The values of an $in, for looking one up."""

    def has(self, stored: Any) -> bool:
        stored = None if stored is MISSING else stored
        return not isinstance(stored, (list, dict)) and (bracket(stored), stored) in self


def prepared(wanted: Any) -> Any:
    """Return a filter with its long lists made quick to look up in."""
    if isinstance(wanted, list):
        return [prepared(one) for one in wanted]
    if not isinstance(wanted, dict):
        return wanted
    return {
        name: Among((bracket(one), one) for one in given) if name in {"$in", "$nin"} else prepared(given)
        for name, given in wanted.items()
    }


def candidates(documents: list[Document], wanted: Document) -> list[Document]:
    """Return the documents among which those that match are, as an index on one of the fields would give them."""
    for part in (wanted, *wanted.get("$and", ())):
        for name, given in part.items():
            among = given.get("$in") if isinstance(given, dict) else None
            if isinstance(among, Among) and "." not in name:
                return [one for one in documents if isinstance(one.get(name), list) or among.has(one.get(name))]
    return documents


def compares(stored: Any, given: Any, sign: str) -> bool:
    if stored is MISSING or bracket(stored) != bracket(given):
        return False
    return {"$gt": stored > given, "$gte": stored >= given, "$lt": stored < given, "$lte": stored <= given}[sign]


def of_type(stored: Any, names: Any) -> bool:
    wanted = names if isinstance(names, list) else [names]
    known = {name for named, _types in ORDER for name in named}
    if not set(wanted) <= known:
        raise Failed(2, "BadValue")
    return stored is not MISSING and any(name in wanted for name in ORDER[bracket(stored)][0])


def holds(values: list[Any], operator: str, given: Any) -> bool:
    """Say whether one of the values at a path fits; a list fits by itself or by one of its elements."""
    each = [one for value in values for one in ([value, *value] if isinstance(value, list) else [value])]
    if operator == "$eq":
        return any(same(value, given) for value in each)
    if operator == "$in":
        return any(given.has(value) for value in each)
    if operator in {"$ne", "$nin"}:
        return not holds(values, "$eq" if operator == "$ne" else "$in", given)
    if operator in {"$gt", "$gte", "$lt", "$lte"}:
        return any(compares(value, given, operator) for value in each)
    if operator == "$exists":
        return any(value is not MISSING for value in values) == bool(given)
    if operator == "$type":
        return any(of_type(value, given) for value in each)
    if operator == "$not":
        return not all(holds(values, name, one) for name, one in given.items())
    raise Failed(2, "BadValue")


def matches(document: Document, wanted: Document) -> bool:
    for name, given in wanted.items():
        if name in {"$and", "$or", "$nor"}:
            if not given:
                raise Failed(2, "BadValue")
            found = [matches(document, one) for one in given]
            if not {"$and": all(found), "$or": any(found), "$nor": not any(found)}[name]:
                return False
        elif name.startswith("$"):
            raise Failed(2, "BadValue")
        else:
            values = list(at_path(document, name)) or [MISSING]
            is_operators = isinstance(given, dict) and any(key.startswith("$") for key in given)
            if isinstance(given, Regex):
                raise Failed(2, "BadValue")
            conditions = given.items() if is_operators else [("$eq", given)]
            if not all(holds(values, operator, one) for operator, one in conditions):
                return False
    return True


def changed(document: Document, update: Document) -> bool:
    before = bson.encode(document)
    for operator, fields in update.items():
        if operator not in {"$set", "$unset"}:
            raise Failed(9, "FailedToParse")
        for path, value in fields.items():
            *way, last = path.split(".")
            inner: Any = document
            for part in way:
                inner = inner.setdefault(part, {}) if operator == "$set" else inner.get(part, {})
            if operator == "$set":
                inner[last] = value
            else:
                inner.pop(last, None)
    return bson.encode(document) != before


class MongoDB:
    """The server's data, its users and the cursors that are open."""

    def __init__(self, *, user: str = "", password: str = "") -> None:
        self.databases: dict[str, dict[str, list[Document]]] = {}
        self.options: dict[tuple[str, str], Document] = {}  # of collections: capped, timeseries, images
        self.privileges: list[Document] = [{"resource": {"anyResource": True}, "actions": ["find", "remove", "update"]}]
        self.kept: list[Document] = []  # documents that are not deleted although that is asked for
        self.user, self.password = user, password
        self.lock = threading.RLock()
        self.cursors: dict[int, list[Document]] = {}
        self.numbers = itertools.count(1)
        self.seen: list[str] = []  # the commands, in their order

    def collection(self, database: str, name: str) -> list[Document]:
        return self.databases.setdefault(database, {}).setdefault(name, [])


class Session(socketserver.BaseRequestHandler):
    """One connection: it signs in for itself."""

    server: Listener

    def setup(self) -> None:
        self.data = self.server.data
        self.is_signed_in = not self.data.user
        self.scram: Document = {}

    def handle(self) -> None:
        while (head := self._exactly(16)) is not None:
            length, number, _answers, code = struct.unpack("<iiii", head)
            body = self._exactly(length - 16)
            if body is None:
                return
            if code == OP_MSG:
                answer = self._answer(self._message(body))
                payload = struct.pack("<iB", 0, 0) + bson.encode(answer)
                self.request.sendall(
                    struct.pack("<iiii", 16 + len(payload), next(self.data.numbers), number, OP_MSG) + payload
                )
            elif code == OP_QUERY:  # the driver's first greeting
                payload = struct.pack("<iqii", 8, 0, 0, 1) + bson.encode(self._hello({}))
                self.request.sendall(
                    struct.pack("<iiii", 16 + len(payload), next(self.data.numbers), number, OP_REPLY) + payload
                )
            else:
                return

    def _exactly(self, size: int) -> bytes | None:
        data = b""
        while len(data) < size:
            try:
                got = self.request.recv(size - len(data))
            except OSError:
                return None
            if not got:
                return None
            data += got
        return data

    def _message(self, body: bytes) -> Document:
        """Read the sections of an OP_MSG: kind 0 is the command, kind 1 a list of documents that belongs into it."""
        place, command, lists = 4, {}, {}
        while place < len(body):
            kind = body[place]
            (size,) = struct.unpack_from("<i", body, place + 1)
            section = body[place + 1 : place + 1 + size]
            if kind == 0:
                command = bson.decode(section, OPTIONS)
            else:
                end = section.index(b"\x00", 4)
                lists[section[4:end].decode()] = bson.decode_all(section[end + 1 :], OPTIONS)
            place += 1 + size
        return command | lists

    def _answer(self, command: Document) -> Document:
        name = next(iter(command))
        self.data.seen.append(name)
        act: Callable[[Document], Document] = getattr(self, f"_{name}", self._unknown)
        try:
            with self.data.lock:
                return {"ok": 1.0, **(act if self.is_signed_in or name in WITHOUT_SIGN_IN else self._stranger)(command)}
        except Failed as failed:
            return {"ok": 0.0, "code": failed.code, "codeName": failed.name, "errmsg": f"{failed.name} {command}"}

    def _unknown(self, command: Document) -> Document:
        raise Failed(59, "CommandNotFound")

    def _stranger(self, command: Document) -> Document:
        raise Failed(13, "Unauthorized")

    def _hello(self, command: Document) -> Document:
        answer: Document = {
            "ok": 1.0, "isWritablePrimary": True, "ismaster": True, "helloOk": True, "maxBsonObjectSize": 16777216,
            "maxMessageSizeBytes": 48000000, "maxWriteBatchSize": 100000, "minWireVersion": 0, "maxWireVersion": 21,
            "readOnly": False, "connectionId": 1,
        }  # fmt: skip
        if command.get("saslSupportedMechs"):
            answer["saslSupportedMechs"] = ["SCRAM-SHA-256"]
        return answer

    _ismaster = _isMaster = _hello

    def _ping(self, command: Document) -> Document:
        return {}

    def _buildInfo(self, command: Document) -> Document:
        return {"version": "7.0.0"}

    _buildinfo = _buildInfo

    def _endSessions(self, command: Document) -> Document:
        return {}

    def _connectionStatus(self, command: Document) -> Document:
        users = [{"user": self.data.user, "db": "admin"}] if self.data.user else []
        return {
            "authInfo": {
                "authenticatedUsers": users,
                "authenticatedUserPrivileges": self.data.privileges if users else [],
            }
        }

    def _saslStart(self, command: Document) -> Document:
        """RFC 5802 with the figures of RFC 7677: the server's first message."""
        if command["mechanism"] != "SCRAM-SHA-256":
            raise Failed(334, "MechanismUnavailable")
        bare = bytes(command["payload"]).decode().partition("n,,")[2]
        given = dict(part.split("=", 1) for part in bare.split(","))
        nonce, salt = given["r"] + secrets.token_hex(12), hashlib.sha256(self.data.user.encode()).digest()[:16]
        first = f"r={nonce},s={base64.b64encode(salt).decode()},i={ITERATIONS}"
        self.scram = {"user": given["n"], "bare": bare, "first": first, "nonce": nonce, "salt": salt}
        return {"conversationId": 1, "done": False, "payload": first.encode()}

    def _saslContinue(self, command: Document) -> Document:
        text = bytes(command["payload"]).decode()
        if not text:
            return {"conversationId": 1, "done": True, "payload": b""}
        without_proof, _comma, proof = text.rpartition(",p=")
        salted = hashlib.pbkdf2_hmac("sha256", self.data.password.encode(), self.scram["salt"], ITERATIONS)
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        signed = f"{self.scram['bare']},{self.scram['first']},{without_proof}".encode()
        signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
        expected = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        is_right = self.scram["user"] == self.data.user and f"r={self.scram['nonce']}" in without_proof
        if not is_right or not hmac.compare_digest(expected, base64.b64decode(proof)):
            raise Failed(18, "AuthenticationFailed")
        self.is_signed_in = True
        server_key = hmac.digest(salted, b"Server Key", "sha256")
        verifier = base64.b64encode(hmac.digest(server_key, signed, "sha256")).decode()
        return {"conversationId": 1, "done": True, "payload": f"v={verifier}".encode()}

    def _find(self, command: Document) -> Document:
        allowed = {"find", "filter", "projection", "sort", "limit", "batchSize", "singleBatch", "$db", "lsid",
                   "$readPreference", "readConcern", "$clusterTime"}  # fmt: skip
        if set(command) - allowed:
            raise Failed(40415, "IDLUnknownField")
        matching = self._matching(command["$db"], command["find"], command.get("filter", {}))
        found = list(matching if command.get("sort") else itertools.islice(matching, command.get("limit") or None))
        if (
            set(command.get("sort") or {}) - {"_id"}
            and sum(len(bson.encode(one)) for one in found) > SORTED_WITHOUT_INDEX
        ):
            raise Failed(292, "QueryExceededMemoryLimitNoDiskUseAllowed")
        for path, direction in reversed((command.get("sort") or {}).items()):
            found.sort(key=lambda one, path=path: sort_key(next(at_path(one, path), MISSING)), reverse=direction < 0)  # type: ignore[misc]
        found = found[: command["limit"]] if command.get("limit") else found
        shown = command.get("projection")
        if shown:
            if any(value != 1 for value in shown.values()):
                raise Failed(2, "BadValue")
            found = [{name: one[name] for name in ("_id", *shown) if name in one} for one in found]
        return self._cursor(command, command["find"], found, is_whole=bool(command.get("singleBatch")))

    def _matching(self, database: str, name: str, wanted: Document) -> Iterator[Document]:
        wanted = prepared(wanted)
        return (one for one in candidates(self.data.collection(database, name), wanted) if matches(one, wanted))

    def _cursor(self, command: Document, name: str, found: list[Document], *, is_whole: bool = False) -> Document:
        size = int(command.get("batchSize", BATCH)) or BATCH
        first, rest = found[:size], [] if is_whole else found[size:]
        number = next(self.data.numbers) if rest else 0
        if rest:
            self.data.cursors[number] = rest
        return {"cursor": {"id": Int64(number), "ns": f"{command['$db']}.{name}", "firstBatch": first}}

    def _getMore(self, command: Document) -> Document:
        number = int(command["getMore"])
        if number not in self.data.cursors:
            raise Failed(43, "CursorNotFound")
        rest = self.data.cursors.pop(number)
        size = int(command.get("batchSize") or 1000)
        if rest[size:]:
            self.data.cursors[number] = rest[size:]
        named = f"{command['$db']}.{command['collection']}"
        return {"cursor": {"id": Int64(number if rest[size:] else 0), "ns": named, "nextBatch": rest[:size]}}

    def _killCursors(self, command: Document) -> Document:
        for number in command["cursors"]:
            self.data.cursors.pop(int(number), None)
        return {"cursorsKilled": command["cursors"]}

    def _aggregate(self, command: Document) -> Document:
        """The pipeline of count_documents and no other."""
        match, group = command["pipeline"]
        if list(match) != ["$match"] or group != {"$group": {"_id": 1, "n": {"$sum": 1}}}:
            raise Failed(40324, "UnrecognizedPipelineStage")
        count = sum(1 for _one in self._matching(command["$db"], command["aggregate"], match["$match"]))
        return self._cursor(command, command["aggregate"], [{"_id": 1, "n": count}] if count else [])

    def _insert(self, command: Document) -> Document:
        documents = self.data.collection(command["$db"], command["insert"])
        ids = {bson.encode({"": one["_id"]}) for one in documents}
        for number, document in enumerate(command["documents"]):
            if bson.encode({"": document["_id"]}) in ids:
                return {"n": number, "writeErrors": [{"index": number, "code": 11000, "errmsg": f"E11000 {document}"}]}
            documents.append(document)
        return {"n": len(command["documents"])}

    def _delete(self, command: Document) -> Document:
        self._refuse_views(command["$db"], command["delete"])
        documents, gone = self.data.collection(command["$db"], command["delete"]), 0
        for one in command["deletes"]:
            if one["limit"] not in (0, 1):
                raise Failed(9, "FailedToParse")
            matching = self._matching(command["$db"], command["delete"], one["q"])
            found = [found for found in matching if found not in self.data.kept]
            found = found[:1] if one["limit"] else found
            ids = {id(document) for document in found}
            documents[:] = [document for document in documents if id(document) not in ids]
            gone += len(found)
        return {"n": gone}

    def _refuse_views(self, database: str, name: str) -> None:
        options = self.data.options.get((database, name), {})
        if options.get("is_undeletable"):  # a capped collection of a server before 5.0, or a view
            raise Failed(20, "IllegalOperation")

    def _update(self, command: Document) -> Document:
        matched = modified = 0
        for one in command["updates"]:
            found = list(self._matching(command["$db"], command["update"], one["q"]))
            found = found if one.get("multi") else found[:1]
            matched += len(found)
            modified += sum(changed(document, one["u"]) for document in found)
        return {"n": matched, "nModified": modified}

    def _listCollections(self, command: Document) -> Document:
        names = sorted(self.data.databases.get(command["$db"], {}))
        found = [
            {
                "name": name,
                "type": "collection",
                "options": self.data.options.get((command["$db"], name), {}),
                "info": {},
            }
            for name in names
        ]
        return self._cursor(command, "$cmd.listCollections", found)

    def _listIndexes(self, command: Document) -> Document:
        if command["listIndexes"] not in self.data.databases.get(command["$db"], {}):
            raise Failed(26, "NamespaceNotFound")
        options = self.data.options.get((command["$db"], command["listIndexes"]), {})
        keys = [{"_id": 1}, *options.get("indexes", [])]
        return self._cursor(command, command["listIndexes"], [{"v": 2, "key": key, "name": str(key)} for key in keys])


class Listener(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, data: MongoDB) -> None:
        super().__init__(("127.0.0.1", 0), Session)
        self.data = data

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class Running:
    """`with Running(MongoDB()) as server:` listens on a free port of loopback until the end."""

    def __init__(self, data: MongoDB) -> None:
        self.listener = Listener(data)

    def __enter__(self) -> Listener:
        threading.Thread(target=self.listener.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self.listener

    def __exit__(self, *_error: object) -> None:
        self.listener.shutdown()
        self.listener.server_close()
