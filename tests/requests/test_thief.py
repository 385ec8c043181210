"""A thief of both databases, of the storage and of the published log reads no word that anybody wrote, long before any erasure.

Where each word was looked for it lies all the same: everything that the site opens with its keys is looked through too.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile

from apps.records import services as records
from apps.records.models import Import, Subject
from apps.records.subjects import create_subject
from apps.records.tasks import run_import
from apps.requests import services
from apps.requests.models import Kind
from tests.databases import are_files
from tests.journeys.scan import raw_files, scan
from tests.records.conftest import attachment, conversation
from tests.requests.conftest import ADA, as_person, filed, run

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "keys"])

SEALED = {
    name: f"canary-{number}-{name.replace(' ', '-')}"
    for number, name in enumerate(
        ("message", "answer", "title", "file name", "attachment", "upload", "upload name", "person",
         "note", "request message", "evidence name", "evidence", "intake note"), 31,
    )
}  # fmt: skip


@pytest.fixture
def upload(ada: Subject) -> Import:
    """Whatever can be held of somebody, with a word of its own in each; an archive that is ready; a file not read in yet."""
    parsed = conversation(
        "one", f"say {SEALED['message']}", f"say {SEALED['answer']}", title=SEALED["title"],
        attachments=[attachment(f"{SEALED['file name']}.txt", SEALED["attachment"].encode())],
    )  # fmt: skip
    records.store_conversations(ada, [parsed], actor=as_person(ada), source="chatgpt")
    run(filed(ada))
    file = SimpleUploadedFile(f"{SEALED['upload name']}.txt", SEALED["upload"].encode())
    started = records.start_import(ada, file, actor=as_person(ada))
    create_subject(emails=[f"{SEALED['person']}@example.org"])
    request = filed(ada, Kind.ERASURE, note=SEALED["note"])
    services.send_message(request, SEALED["request message"], actor=as_person(ada))
    document = services.Document(f"{SEALED['evidence name']}.jpg", "image/jpeg")
    services.add_evidence(request, document, [SEALED["evidence"].encode()], actor=as_person(ada))
    services.open_intake(kind=Kind.ACCESS, regime="gdpr", email="eda@example.org", note=SEALED["intake note"])
    return started


@pytest.mark.slow
def test_nothing_that_is_sealed_lies_in_the_clear(upload: Import) -> None:
    storage = Path(settings.STORAGES["default"]["OPTIONS"]["location"])
    found = scan(Path(settings.DATA_DIR), [*SEALED.values(), ADA])
    files = [f"{path.relative_to(storage)}".encode() for path in storage.rglob("*")]
    files += [data for _name, data in raw_files(storage)]
    assert len(files) > 6
    for name, word in SEALED.items():
        assert not [place for place in found[word] if not place.startswith("opened:")], name
        assert not any(word.encode() in data for data in files), name
        assert found[word] or name == "upload", f"{name}: a control, the site itself opens it"
    assert [place for place in found[ADA] if place.startswith("sql:")] == ["sql:accounts_user.email"]  # as declared
    assert any(place.startswith("raw:") for place in found[ADA]) is are_files()  # a control
    run_import(str(upload.pk))
    assert "opened:message" in scan(storage, [SEALED["upload"]])[SEALED["upload"]]
