"""What is read of people's records."""

from apps.records.selectors.lists import (
    ConversationSummary,
    HeldSummary,
    ImportView,
    Page,
    conversations_page,
    count_conversations,
    held_summary,
    import_of,
    imports_of,
)
from apps.records.selectors.provider_ids import provider_ids
from apps.records.selectors.reading import (
    OpenFile,
    Reading,
    Turn,
    open_attachment,
    page_of,
    read_conversation,
)
from apps.records.selectors.searching import Hit, SearchPage, search

__all__ = [
    "ConversationSummary",
    "HeldSummary",
    "Hit",
    "ImportView",
    "OpenFile",
    "Page",
    "Reading",
    "SearchPage",
    "Turn",
    "conversations_page",
    "count_conversations",
    "held_summary",
    "import_of",
    "imports_of",
    "open_attachment",
    "page_of",
    "provider_ids",
    "read_conversation",
    "search",
]
