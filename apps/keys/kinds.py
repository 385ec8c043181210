"""What a key opens, and so when it dies (the tree of DESIGN §2)."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class KeyKind(models.TextChoices):
    SUBJECT = "subject", _("Person")
    CONVERSATION = "conversation", _("Conversation")
    REQUEST = "request", _("Request")
    EVIDENCE = "evidence", _("Identity document")
    ARCHIVE = "archive", _("Archive")
    BLIND_INDEX = "blind_index", _("Blind index")
    SUPPRESSION = "suppression", _("Suppression list")
    SITE = "site", _("Site")
    IMPORT = "import", _("Import")
