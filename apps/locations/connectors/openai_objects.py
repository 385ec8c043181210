"""The kinds of object that OpenAI's API keeps: how each is read, deleted and looked for (openai/openai-openapi 2.3.0).

Deleting a conversation leaves its items ("Items in the conversation will not be deleted"), so they go first. Taking a
file out of a vector store leaves the file, so it is deleted too. Some deletions answer without a body, and prove nothing:
only a look that answers 404 does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from apps.locations.errors import Refused
from apps.locations.objects import PagesSeen
from apps.locations.said import said as _

PAGE = 100  # the most that its lists give at once
MOST_PAGES = 10_000  # of what belongs to one object

Client = Any  # openai.OpenAI, imported where it is made
Lines = Iterator[dict[str, Any]]
Metadata = dict[str, str]


@dataclass(frozen=True)
class Kind:
    """One kind of object. `below` yields what belongs to an object, each as a line; `erase` how many objects went.

    `update` writes an object's metadata, and gives the object back; None: nothing of such an object can be changed.
    """

    name: str
    identity: str  # the kind of identity under which its ids are recorded for a person
    retrieve: Callable[[Client, str], Any]
    below: Callable[[Client, str], Lines]
    erase: Callable[[Client, str], Iterator[int]]
    update: Callable[[Client, str, Metadata], Any] | None = None

    @property
    def plural(self) -> str:
        return f"{self.name}s"


def plain(found: Any) -> dict[str, Any]:
    """Return an object as its JSON says it, fields that the client does not know included."""
    value: dict[str, Any] = found.to_dict(mode="json")
    return value


def metadata_of(found: dict[str, Any]) -> Metadata:
    metadata = found.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def is_gone(error: Any) -> bool:
    """Tell the provider's "no such object" (NotFoundError) from a wrong address, which answers 404 to everything."""
    try:
        body = error.response.json()
    except ValueError:
        return False
    return isinstance(body, dict) and isinstance(body.get("error"), dict)


def _delete_unless_gone(delete: Callable[..., Any], object_id: str, **where: str) -> None:
    from openai import NotFoundError

    try:
        delete(object_id, **where)
    except NotFoundError as error:
        if not is_gone(error):
            raise


def _nothing_below(client: Client, object_id: str) -> Lines:
    yield from ()


def page_of(response: Any) -> tuple[list[dict[str, Any]], bool]:
    """Return the objects of a list's page, as its JSON says them, and whether more follow.

    `response`: of a list call of `with_raw_response`. Made into the client's objects they take twice as long.
    """
    try:
        answer = orjson.loads(response.content)
    except ValueError:
        answer = None
    page = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(page, list) or not all(isinstance(one, dict) and isinstance(one.get("id"), str) for one in page):
        raise Refused(_("The server does not speak OpenAI's protocol: check the address."))
    return page, bool(answer.get("has_more"))


def _listed(listing: Callable[..., Any], object_id: str) -> Lines:
    after: dict[str, str] = {}
    seen = PagesSeen()
    for _number in range(MOST_PAGES):
        page, is_more = page_of(listing(object_id, limit=PAGE, order="asc", **after))
        seen.add([one["id"] for one in page])
        yield from page
        if not page or not is_more:
            return
        after = {"after": page[-1]["id"]}
    raise Refused(_("More belongs to an object than can be gone through."))


def _messages_of_completion(client: Client, object_id: str) -> Lines:
    for message in _listed(client.chat.completions.messages.with_raw_response.list, object_id):
        yield {"completion": object_id, "message": message}


def _input_of_response(client: Client, object_id: str) -> Lines:
    for item in _listed(client.responses.input_items.with_raw_response.list, object_id):
        yield {"response": object_id, "input": item}


def _items_of_conversation(client: Client, object_id: str) -> Lines:
    for item in _listed(client.conversations.items.with_raw_response.list, object_id):
        yield {"conversation": object_id, "item": item}


def _messages_of_thread(client: Client, object_id: str) -> Lines:
    for message in _listed(client.beta.threads.messages.with_raw_response.list, object_id):
        yield {"thread": object_id, "message": message}


def _items_of_chatkit_thread(client: Client, object_id: str) -> Lines:
    for item in _listed(client.beta.chatkit.threads.with_raw_response.list_items, object_id):
        yield {"chatkit_thread": object_id, "item": item}


def _files_of_store(client: Client, object_id: str) -> Lines:
    for file in client.vector_stores.files.list(object_id, limit=PAGE):
        yield {"vector_store": object_id, "file": file.id}


def _erase_conversation(client: Client, object_id: str) -> Iterator[int]:
    """Delete the items, a page at a time from the front: what is deleted is no place to go on from."""
    seen: set[str] = set()
    for _number in range(MOST_PAGES):
        page = [item.id for item in client.conversations.items.list(object_id, limit=PAGE, order="asc").data]
        if not page or seen.issuperset(page):
            break
        for item_id in page:
            _delete_unless_gone(client.conversations.items.delete, item_id, conversation_id=object_id)
            yield 1
        seen = set(page)
    client.conversations.delete(object_id)
    yield 1


def _erase_store(client: Client, object_id: str) -> Iterator[int]:
    seen: set[str] = set()
    for _number in range(MOST_PAGES):
        page = [file.id for file in client.vector_stores.files.list(object_id, limit=PAGE).data]
        if not page or seen.issuperset(page):
            break
        for file_id in page:
            _delete_unless_gone(client.files.delete, file_id)  # first: once taken out of the store nothing names it
            _delete_unless_gone(client.vector_stores.files.delete, file_id, vector_store_id=object_id)
            yield 1
        seen = set(page)
    client.vector_stores.delete(object_id)
    yield 1


def _by(delete: Callable[[Client, str], Any]) -> Callable[[Client, str], Iterator[int]]:
    def erase(client: Client, object_id: str) -> Iterator[int]:
        delete(client, object_id)
        yield 1

    return erase


COMPLETION = Kind(
    "completion",
    "openai_completion",
    lambda client, object_id: client.chat.completions.retrieve(object_id),
    _messages_of_completion,
    _by(lambda client, object_id: client.chat.completions.delete(object_id)),
    lambda client, object_id, metadata: client.chat.completions.update(object_id, metadata=metadata),
)
CHATKIT_THREAD = Kind(
    "chatkit thread",
    "openai_chatkit_thread",
    lambda client, object_id: client.beta.chatkit.threads.retrieve(object_id),
    _items_of_chatkit_thread,
    _by(lambda client, object_id: client.beta.chatkit.threads.delete(object_id)),
)
FILE = Kind(
    "file",
    "openai_file",
    lambda client, object_id: client.files.retrieve(object_id),
    _nothing_below,
    _by(lambda client, object_id: client.files.delete(object_id)),
)
KINDS = (
    COMPLETION,
    Kind(
        "response",
        "openai_response",
        lambda client, object_id: client.responses.retrieve(object_id),
        _input_of_response,
        _by(lambda client, object_id: client.responses.delete(object_id)),
    ),
    Kind(
        "conversation",
        "openai_conversation",
        lambda client, object_id: client.conversations.retrieve(object_id),
        _items_of_conversation,
        _erase_conversation,
        lambda client, object_id, metadata: client.conversations.update(object_id, metadata=metadata),
    ),
    Kind(
        "thread",
        "openai_thread",
        lambda client, object_id: client.beta.threads.retrieve(object_id),
        _messages_of_thread,
        _by(lambda client, object_id: client.beta.threads.delete(object_id)),
        lambda client, object_id, metadata: client.beta.threads.update(object_id, metadata=metadata),
    ),
    CHATKIT_THREAD,
    Kind(
        "vector store",
        "openai_vector_store",
        lambda client, object_id: client.vector_stores.retrieve(object_id),
        _files_of_store,
        _erase_store,
        lambda client, object_id, metadata: client.vector_stores.update(object_id, metadata=metadata),
    ),
    FILE,
    Kind(
        "assistant",
        "openai_assistant",
        lambda client, object_id: client.beta.assistants.retrieve(object_id),
        _nothing_below,
        _by(lambda client, object_id: client.beta.assistants.delete(object_id)),
        lambda client, object_id, metadata: client.beta.assistants.update(object_id, metadata=metadata),
    ),
)
