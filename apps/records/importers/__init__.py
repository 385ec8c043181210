"""Readers for files of conversations: pure modules without models or network."""

from .errors import BadConversation, ImporterError, UnreadableFile
from .reading import FORMATS, Reading, read, read_text
from .types import Node, ParsedAttachment, ParsedConversation, Skipped

__all__ = [
    "FORMATS",
    "BadConversation",
    "ImporterError",
    "Node",
    "ParsedAttachment",
    "ParsedConversation",
    "Reading",
    "Skipped",
    "UnreadableFile",
    "read",
    "read_text",
]
