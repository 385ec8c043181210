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
from apps.records.selectors.reading import (
    OpenFile,
    Reading,
    Turn,
    open_attachment,
    page_of,
    read_conversation,
)

__all__ = [
    "ConversationSummary",
    "HeldSummary",
    "ImportView",
    "OpenFile",
    "Page",
    "Reading",
    "Turn",
    "conversations_page",
    "count_conversations",
    "held_summary",
    "import_of",
    "imports_of",
    "open_attachment",
    "page_of",
    "read_conversation",
]
