"""Why a step is not done: a closed list, so that the log, the pages and the receipt can say it in every language."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Reason(models.TextChoices):
    UNREACHABLE = "unreachable", _("The place does not answer")
    REFUSED = "refused", _("The place refuses us: its settings need a person")
    DISABLED = "disabled", _("The place is switched off: a person has to look")
    BY_HAND = "by_hand", _("A person does it by hand, and confirms it")
    NO_IDENTITY = "no_identity", _("The place knows people by something we do not know of this person")
    PERHAPS_ANOTHERS = (
        "perhaps_anothers",
        _("The place knows people by something that is said to be wrong here, and may be somebody else's"),
    )
    DOUBTED = (
        "doubted",
        _("You have said that something is wrong by which your data is found there: that is decided first"),
    )
    HARD_LINK = "hard_link", _("The same file has another name outside the person's folder")
    FOREIGN_KEY = "foreign_key", _("Another table of the database points to it and forbids that it goes")
    SHARED = "shared", _("It belongs to several people: a person has to look")
    OBJECT_LOCK = "object_lock", _("Locked by the storage until a date")
    LEGAL_HOLD = "legal_hold", _("Kept because the law demands it")
    RETENTION_POLICY = "retention_policy", _("Kept by a retention policy of the place")
    SOFT_DELETE = "soft_delete", _("Deleted, and kept restorable by the provider until a date")
    CANNOT_DELETE = "cannot_delete", _("The place keeps some items although we asked it to delete them")
    STORAGE_FULL = "storage_full", _("There is no room left to write")
    TOO_MANY_ATTEMPTS = "too_many_attempts", _("It failed too often: a person has to look")
    STILL_THERE = "still_there", _("Something was found again at the second look")
    NOT_SIGNED = "not_signed", _("The log could not be signed in time")
    RESTRICTED = (
        "restricted",
        _("Its use is restricted at your request: nothing is changed or erased until that is lifted"),
    )
    WAITS_FOR_ARCHIVE = "waits_for_archive", _("Waits until you have your copy")
