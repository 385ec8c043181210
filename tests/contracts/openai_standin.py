"""A stand-in for OpenAI's API that keeps objects in memory. Every request and answer is checked by the API description."""

from __future__ import annotations

import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

from tests.contracts.standin import Answer, Asked, StandIn

EXTRACT = Path(__file__).resolve().parent.parent / "vectors" / "openai" / "description.json"
BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data" / "openai-openapi.json"
KEY = "sk-test"
CREATED = 1_750_000_000


@cache
def description() -> dict[str, Any]:
    """The whole API description where there is one, else the extract of what the connector uses."""
    named = os.environ.get("OPENAI_DESCRIPTION")
    path = Path(named) if named else BESIDE if BESIDE.exists() else EXTRACT
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@cache
def validator(pointer: str) -> Any:
    return validator_of({"$ref": pointer})


def validator_of(schema: dict[str, Any]) -> Any:
    return jsonschema.Draft202012Validator(schema | {"components": description()["components"]})


@cache
def operations() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    """Paths as patterns, the literal ones before those with parameters."""
    paths = sorted(description()["paths"].items(), key=lambda item: item[0].count("{"))
    return [
        (re.compile(re.sub(r"\\\{[a-z_]+\\\}", "[^/]+", re.escape(path)) + "$"), methods)
        for path, methods in paths
        if "?" not in path
    ]


def operation_of(asked: Asked) -> dict[str, Any] | None:
    for pattern, methods in operations():
        if pattern.match(asked.path) and asked.method.lower() in methods:
            found: dict[str, Any] = methods[asked.method.lower()]
            return found
    return None


class OpenAIStandIn(StandIn):
    """`objects`: path of an object → its JSON; `below`: path of a list → its items, oldest first."""

    base_path = "/v1"

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, dict[str, Any]] = {}
        self.below: dict[str, list[dict[str, Any]]] = {}
        self.contents: dict[str, bytes] = {}
        self.stuck: set[str] = set()  # ids that stay although their deletion is answered with success
        self.ignores_filter = False
        self.keeps_metadata = False  # what is left out of an update stays
        self.validates = True

    # what tests put there

    def add_completion(
        self, number: int | str, metadata: dict[str, str], text: str = "Hello", *, created: int = CREATED
    ) -> str:
        object_id = f"chatcmpl-{number}"
        message = {"role": "assistant", "content": text, "refusal": None}
        self.objects[f"/chat/completions/{object_id}"] = {
            "id": object_id, "object": "chat.completion", "created": created, "model": "gpt-5", "metadata": metadata,
            "choices": [{"index": 0, "finish_reason": "stop", "logprobs": None, "message": message}],
        }  # fmt: skip
        asked = {"id": f"{object_id}-0", "role": "assistant", "content": "Asked.", "refusal": None}
        self.below[f"/chat/completions/{object_id}/messages"] = [asked]
        return object_id

    def add_response(self, number: int | str) -> str:
        object_id = f"resp_{number}"
        self.objects[f"/responses/{object_id}"] = {
            "id": object_id, "object": "response", "created_at": CREATED, "status": "completed", "model": "gpt-5",
            "output": [_said(f"msg_{number}", "assistant", "output_text")], "error": None, "incomplete_details": None,
            "instructions": None, "tools": [], "tool_choice": "auto", "parallel_tool_calls": True, "metadata": {},
            "temperature": 1, "top_p": 1,
        }  # fmt: skip
        self.below[f"/responses/{object_id}/input_items"] = [_said(f"msg_in_{number}", "user", "input_text")]
        return object_id

    def add_conversation(self, number: int | str, items: int) -> str:
        object_id = f"conv_{number}"
        path = f"/conversations/{object_id}"
        self.objects[path] = {"id": object_id, "object": "conversation", "metadata": {}, "created_at": CREATED}
        said = [_said(f"msg_{number}_{item}", "user", "input_text") for item in range(items)]
        self.below[f"{path}/items"] = said
        return object_id

    def add_file(
        self, number: int | str, content: bytes, *, purpose: str = "user_data", name: str = "notes.txt"
    ) -> str:
        object_id = f"file-{number}"
        self.objects[f"/files/{object_id}"] = {
            "id": object_id, "object": "file", "bytes": len(content), "created_at": CREATED, "filename": name,
            "purpose": purpose, "status": "processed",
        }  # fmt: skip
        self.contents[object_id] = content
        return object_id

    def add_store(self, number: int | str, files: list[str]) -> str:
        object_id = f"vs_{number}"
        counts = {"in_progress": 0, "completed": len(files), "failed": 0, "cancelled": 0, "total": len(files)}
        path = f"/vector_stores/{object_id}"
        self.objects[path] = {
            "id": object_id, "object": "vector_store", "created_at": CREATED, "name": "Ada's store", "usage_bytes": 1,
            "file_counts": counts, "status": "completed", "last_active_at": CREATED, "metadata": {},
        }  # fmt: skip
        self.below[f"{path}/files"] = [
            {
                "id": file_id, "object": "vector_store.file", "usage_bytes": 1, "created_at": CREATED,
                "vector_store_id": object_id, "status": "completed", "last_error": None,
            }
            for file_id in files
        ]  # fmt: skip
        return object_id

    def add_thread(self, number: int | str) -> str:
        object_id = f"thread_{number}"
        self.objects[f"/threads/{object_id}"] = {
            "id": object_id, "object": "thread", "created_at": CREATED, "tool_resources": None, "metadata": {},
        }  # fmt: skip
        self.below[f"/threads/{object_id}/messages"] = []
        return object_id

    def add_chatkit_thread(self, number: int | str, user: str) -> str:
        object_id = f"cthr_{number}"
        self.objects[f"/chatkit/threads/{object_id}"] = {
            "id": object_id, "object": "chatkit.thread", "created_at": CREATED, "title": "A talk",
            "status": {"type": "active"}, "user": user,
        }  # fmt: skip
        self.below[f"/chatkit/threads/{object_id}/items"] = []
        return object_id

    # the API

    def serve(self, asked: Asked) -> Answer:
        operation = operation_of(asked)
        if operation is None:
            self.violations.append(f"no such operation: {asked.method} {asked.path}")
            return _error(404, "Invalid URL")
        if asked.headers.get("authorization") != f"Bearer {KEY}":
            return _error(401, "Incorrect API key provided", "invalid_api_key")
        answer = self._serve(asked)
        if self.validates:
            self._check(asked, operation, answer)
        return answer

    def _check(self, asked: Asked, operation: dict[str, Any], answer: Answer) -> None:
        known = {parameter["name"]: parameter for parameter in operation.get("parameters", []) if "name" in parameter}
        for name, value in asked.query.items():
            parameter = known.get(name.partition("[")[0])
            if parameter is None or parameter["in"] != "query":
                self.violations.append(f"{asked.method} {asked.path}: unknown parameter {name}")
                continue
            kind = parameter["schema"].get("type")
            if kind == "integer" and not value.isdigit():
                self.violations.append(f"{asked.method} {asked.path}: {name}={value}")
            if "enum" in parameter["schema"] and value not in parameter["schema"]["enum"]:
                self.violations.append(f"{asked.method} {asked.path}: {name}={value}")
        if "requestBody" in operation:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            for error in validator_of(schema).iter_errors(json.loads(asked.body)):
                self.violations.append(f"{asked.method} {asked.path}: {error.json_path}: {error.message[:200]}")
        if answer.status != 200 or isinstance(answer.body, bytes):
            return
        content = operation["responses"]["200"].get("content", {}).get("application/json", {})
        reference = content.get("schema", {}).get("$ref")
        if reference is None:
            if answer.body is not None:
                self.violations.append(f"{asked.method} {asked.path}: a body where none is described")
            return
        for error in validator(reference).iter_errors(answer.body):
            self.violations.append(f"{asked.method} {asked.path}: {error.json_path}: {error.message[:200]}")

    def _serve(self, asked: Asked) -> Answer:
        if asked.path in ("/chat/completions", "/chatkit/threads"):
            return self._list(self._filtered(asked), asked)
        if asked.path in self.below and asked.method == "GET":
            return self._list(self.below[asked.path], asked)
        if asked.path.endswith("/content"):
            return self._content(asked.path.split("/")[-2])
        if asked.method == "GET" and asked.path in self.objects:
            return Answer(200, self.objects[asked.path])
        if asked.method == "DELETE":
            return self._delete(asked.path)
        if asked.method == "POST" and asked.path in self.objects:
            return self._update(asked.path, json.loads(asked.body)["metadata"])
        return _error(404, f"No such object: {asked.path}", "not_found")

    def _update(self, path: str, metadata: dict[str, str]) -> Answer:
        before = self.objects[path]["metadata"] if self.keeps_metadata else {}
        self.objects[path] = self.objects[path] | {"metadata": before | metadata}
        return Answer(200, self.objects[path])

    def _filtered(self, asked: Asked) -> list[dict[str, Any]]:
        all_of_kind = [found for path, found in self.objects.items() if path.startswith(f"{asked.path}/")]
        all_of_kind.sort(key=lambda found: int(found.get("created", CREATED)))
        if self.ignores_filter:
            return all_of_kind
        wanted = {name[9:-1]: value for name, value in asked.query.items() if name.startswith("metadata[")}
        if "user" in asked.query:
            return [found for found in all_of_kind if found["user"] == asked.query["user"]]
        return [found for found in all_of_kind if wanted.items() <= found.get("metadata", {}).items()]

    def _list(self, items: list[dict[str, Any]], asked: Asked) -> Answer:
        after, limit = asked.query.get("after"), int(asked.query.get("limit", "20"))
        if not 1 <= limit <= 100:
            return _error(400, "limit must be between 1 and 100")
        ids = [item["id"] for item in items]
        if after is not None and after not in ids:
            return _error(400, "after: no such object")
        start = ids.index(after) + 1 if after is not None else 0
        page = items[start : start + limit]
        body = {"object": "list", "data": page, "has_more": start + limit < len(items)}
        return Answer(
            200, body | {"first_id": page[0]["id"] if page else "", "last_id": page[-1]["id"] if page else ""}
        )

    def _content(self, file_id: str) -> Answer:
        found = self.objects.get(f"/files/{file_id}")
        if found is None:
            return _error(404, "No such File object", "not_found")
        if found["purpose"] == "assistants":
            return _error(400, "Not allowed to download files of purpose: assistants")
        return Answer(200, self.contents[file_id])

    def _delete(self, path: str) -> Answer:
        parent, _slash, object_id = path.rpartition("/")
        if parent in self.below:
            return self._delete_below(parent, object_id)
        if path not in self.objects:
            return _error(404, f"No such object: {path}", "not_found")
        if object_id not in self.stuck:
            del self.objects[path]
            for listed in [one for one in self.below if one.startswith(f"{path}/")]:
                if not listed.startswith("/conversations"):  # its items are not deleted with it
                    del self.below[listed]
            if parent == "/files":
                for listed, items in self.below.items():
                    if listed.startswith("/vector_stores"):
                        self.below[listed] = [item for item in items if item["id"] != object_id]
        deleted = {
            "/chat/completions": "chat.completion.deleted", "/conversations": "conversation.deleted", "/files": "file",
            "/vector_stores": "vector_store.deleted", "/threads": "thread.deleted",
            "/chatkit/threads": "chatkit.thread.deleted", "/assistants": "assistant.deleted",
        }  # fmt: skip
        if parent == "/responses":
            return Answer(200)
        return Answer(200, {"id": object_id, "object": deleted[parent], "deleted": True})

    def _delete_below(self, listed: str, item_id: str) -> Answer:
        items = self.below[listed]
        if all(item["id"] != item_id for item in items):
            return _error(404, "No such object", "not_found")
        self.below[listed] = [item for item in items if item["id"] != item_id]
        owner = listed.rpartition("/")[0]
        if owner.startswith("/conversations"):
            return Answer(200, self.objects[owner])
        return Answer(200, {"id": item_id, "object": "vector_store.file.deleted", "deleted": True})


def _said(object_id: str, role: str, kind: str) -> dict[str, Any]:
    part: dict[str, Any] = {"type": kind, "text": f"said in {object_id}"}
    if kind == "output_text":
        part |= {"annotations": [], "logprobs": []}
    return {"id": object_id, "type": "message", "status": "completed", "role": role, "content": [part]}


def _error(status: int, message: str, code: str | None = None) -> Answer:
    body = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return Answer(status, {"error": body})
