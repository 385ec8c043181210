"""The auditors' pages: for Eve alone, in both languages, filtered, and flat."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import timedelta
from uuid import UUID

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.models import User
from apps.audit import anchoring, listing, master_keys, selectors, services, verification, views
from apps.audit.actors import Actor, Role
from apps.audit.errors import NotSigned
from apps.audit.events import Event
from apps.audit.handles import new_handle
from apps.audit.models import Checkpoint, Entry, Leaf
from apps.audit.templatetags import audit_log
from apps.requests.models import PrivacyRequest
from tests.audit.conftest import past_the_triggers
from tests.audit.verifier import run_verifier

pytestmark = [pytest.mark.django_db(databases=["default", "keys"]), pytest.mark.usefixtures("signing_without_commits")]

PAGES = [
    "/audit/",
    "/audit/master-keys/",
    "/audit/export.csv",
    "/audit/export.jsonl",
    "/audit/log/tile/entries/000.p/1",
]


def sign_in(client, email, *groups, **fields):
    user = User.objects.create_user(email, "a long password", **fields)
    for name in groups:
        user.groups.add(Group.objects.get_or_create(name=name)[0])
    client.force_login(user)
    return client


@pytest.fixture
def eve(client):
    return sign_in(client, "eve@larkspur.example", "auditors")


@pytest.fixture
def some_log(write, handle, officer):
    """Four entries by two actors about two handles, the log's first one before them."""
    services.sequence()
    other = new_handle()
    with transaction.atomic():
        services.append(
            Event.REQUEST_OPENED, about=handle, actor=Actor(other, Role.PERSON), kind="erasure", regime="gdpr"
        )
        services.append(Event.REQUEST_LOOKED_AT, about=handle, actor=officer, purpose="review")
        ids = [UUID(int=number) for number in range(3)]
        services.append(Event.KEYS_INTENDED, about=handle, actor=Actor.system(), erased=ids, reason="erased")
        services.append(Event.SUBJECT_FROZEN, about=other, actor=Actor.system())
    services.sequence()
    return other


def body_of(response) -> bytes:
    if not response.streaming:
        return response.content

    async def collect():
        return b"".join([chunk async for chunk in response])

    return async_to_sync(collect)()


@pytest.mark.parametrize("page", PAGES)
class TestWhoMayRead:
    def test_nobody_is_asked_to_sign_in(self, client, some_log, page):
        response = client.get(page)
        assert response.status_code == 302 and "/accounts/login/" in response.url

    @pytest.mark.parametrize("groups", [(), ("compliance",), ("approvers",), ("administrators",)])
    def test_for_mallory_and_for_other_staff_there_is_no_such_page(self, client, some_log, page, groups):
        assert sign_in(client, "mallory@example.org", *groups, is_staff=bool(groups)).get(page).status_code == 404

    def test_eve_reads_it(self, eve, some_log, page):
        response = eve.get(page)
        assert response.status_code == 200 and response["Cache-Control"] == "no-store"

    def test_nobody_writes_there(self, eve, some_log, page):
        assert eve.post(page).status_code == 405


@pytest.mark.parametrize("page", ["/audit/entries/{pk}/", "/audit/entries/{pk}/proof", "/audit/about/{handle}/"])
def test_pages_of_one_entry_are_for_eve_alone(client, some_log, handle, page):
    address = page.format(pk=Entry.objects.earliest("pk").pk, handle=handle)
    assert client.get(address).status_code == 302
    assert sign_in(client, "mallory@example.org").get(address).status_code == 404
    assert sign_in(client, "eve@larkspur.example", "auditors").get(address).status_code == 200


def test_each_anchor_is_named_by_its_kind_and_place(eve, some_log, settings, tmp_path):
    entry = {"KIND": "folder", "PLACE": "/mnt/auditors", "BACKEND": "apps.audit.anchors.folder.FolderAnchor"}
    settings.ANCHORS = [entry | {"OPTIONS": {"path": str(tmp_path)}}]
    text = eve.get("/audit/").content.decode()
    assert "<b>Folder</b>" in text and "/mnt/auditors" in text and "Nothing there yet" in text


def test_a_missing_and_a_late_anchor_show_on_the_page(eve, some_log, settings, tmp_path):
    entry = {"KIND": "folder", "PLACE": "/mnt/auditors", "BACKEND": "apps.audit.anchors.folder.FolderAnchor"}
    settings.ANCHORS, settings.ANCHORS_WANTED = [entry | {"OPTIONS": {"path": str(tmp_path)}}], 2
    text = eve.get("/audit/").content.decode()
    assert "Anchors: 1 of 2" in text and "An anchor is late" not in text
    settings.ANCHORS_WANTED = 1
    anchoring.anchor_due()
    text = eve.get("/audit/").content.decode()
    assert "Up to date" in text and "An anchor is late" not in text and "Anchors: " not in text
    two_hours_ago = timezone.now() - timedelta(minutes=2 * settings.ANCHOR_EVERY_MINUTES + 1)
    Checkpoint.objects.create(size=99, root=b"r" * 32, note="n", signed_at=two_hours_ago)
    text = eve.get("/audit/").content.decode()
    assert "An anchor is late" in text and "Late</span>" in text and "Up to date" not in text
    ready, numbers = eve.get("/readyz"), eve.get("/metrics").content.decode()
    assert (ready.status_code, ready.json()["anchors"]) == (200, "degraded: late")
    assert 'habeas_anchor_good{kind="folder",place="/mnt/auditors"} 0' in numbers
    [waiting] = re.findall(r'habeas_anchor_waiting_seconds\{kind="folder",place="/mnt/auditors"\} (\S+)', numbers)
    assert float(waiting) >= 2 * settings.ANCHOR_EVERY_MINUTES * 60


def test_the_verify_button_is_for_eve_alone(client, some_log):
    assert client.post("/audit/verify/").status_code == 302
    assert sign_in(client, "mallory@example.org").post("/audit/verify/").status_code == 404


def places(response) -> list[int]:
    return [row.index for row in response.context["page"].rows]


class TestList:
    def test_everything_is_shown_newest_first(self, eve, some_log):
        response = eve.get("/audit/")
        text = response.content.decode()
        assert places(response) == [4, 3, 2, 1, 0]
        for words in (
            "keys.intended",
            "3 ids",
            "review",
            "Officer",
            "gdpr",
            selectors.public_key_text(),
        ):
            assert words in text
        assert "eve@larkspur.example" in text and "yet signed" not in text

    def test_it_speaks_chinese_where_words_are_translated(self, eve, some_log):
        assert eve.get("/audit/", headers={"accept-language": "zh-hans"}).status_code == 200

    @pytest.mark.slow
    def test_filters(self, eve, some_log, handle, officer):
        today = timezone.now().date()
        for query, found in [
            (f"about={handle}", [3, 2, 1]),
            (f"about={handle.upper()}", [3, 2, 1]),
            ("event=keys.intended", [3]),
            ("role=officer", [2]),
            (f"actor={officer.handle}", [2]),
            (f"about={handle}&role=system", [3]),
            (f"since={today}&until={today}", [4, 3, 2, 1, 0]),
            (f"since={today + timedelta(days=1)}", []),
            (f"until={today - timedelta(days=1)}", []),
        ]:
            assert places(eve.get(f"/audit/?{query}")) == found, query

    def test_a_number_leads_to_the_entry_at_that_place(self, eve, some_log):
        response = eve.get("/audit/?about=3", follow=True)
        assert response.context["row"].index == 3
        assert response.context["row"].entry.event == "keys.intended"
        assert eve.get("/audit/?about=99").status_code == 404

    @pytest.mark.parametrize("typed", ["HB-7Q4K-2M9X", "hb 7q4k 2m9x", "7q4k2m9x"])
    def test_a_reference_leads_to_what_the_log_calls_the_request_while_it_is_kept(self, eve, some_log, handle, typed):
        assert eve.get("/audit/", {"about": typed}).status_code == 400
        now = timezone.now()
        PrivacyRequest.objects.create(
            reference="HB-7Q4K-2M9X", handle=handle, kind="erasure", received_at=now, due_on=now.date()
        )
        assert places(eve.get("/audit/", {"about": typed})) == [3, 2, 1]
        assert b"7Q4K" not in b"".join(bytes(data) for data in Entry.objects.values_list("data", flat=True))

    @pytest.mark.parametrize(
        "query",
        ["about=ada@example.org", "about=9c2f", "event=ada", "role=ada", "since=soon", "since=0001-01-01", "until=9999-12-31",
         "since=2026-11-22&until=2026-11-21", "actor=cleo"],
    )  # fmt: skip
    def test_what_is_no_filter_is_said_to_be_wrong(self, eve, some_log, query):
        response = eve.get(f"/audit/?{query}")
        assert response.status_code == 400 and b'class="error"' in response.content
        assert eve.get(f"/audit/export.csv?{query}").status_code == 404

    def test_pages_follow_each_other_without_gap_or_repeat(self, eve, write):
        write(130)
        services.sequence()
        address, seen, newer = "/audit/?role=system", [], []
        while address:
            response = eve.get(address)
            page = response.context["page"]
            seen += places(response)
            newer.append(page.newer)
            address = f"/audit/?role=system&before={page.older}" if page.older else ""
            assert not page.older or f"before={page.older}&amp;role=system" in response.content.decode()
        by_id = sorted(Leaf.objects.values_list("entry_id", "index"), reverse=True)
        assert seen == [index for _, index in by_id]
        back = eve.get(f"/audit/?role=system&after={newer[-1]}")
        assert places(back) == seen[50:100]
        assert places(eve.get(f"/audit/?after={back.context['page'].newer}")) == seen[:50]
        assert eve.get(f"/audit/?after={Entry.objects.latest('pk').pk}").context["page"].rows == []

    def test_a_place_in_the_list_that_is_none_is_ignored(self, eve, some_log):
        for value in ("x", "-1", "9" * 40, "١"):
            assert len(places(eve.get(f"/audit/?before={value}"))) == 5

    def test_a_page_costs_the_same_however_long_the_log_is(self, eve, write):
        counts = []
        for more in (5, 200):
            write(more)
            services.sequence()
            with CaptureQueriesContext(
                connection,
            ) as queries:
                eve.get("/audit/")
            counts.append(len(queries))
        assert counts[0] == counts[1] <= 12

    def test_what_waits_too_long_is_shown_as_not_yet_signed(self, eve, some_log, write, monkeypatch):
        write()
        fresh = eve.get("/audit/").content.decode()
        assert "Being signed" in fresh and "Not yet signed" not in fresh and "no place yet" in fresh
        monkeypatch.setattr(selectors, "UNSIGNED_ALARM", timedelta(0))
        late = eve.get("/audit/").content.decode()
        assert "Not yet signed" in late and "Some entries are not yet signed" in late and "Being signed" not in late

    def test_an_empty_log_says_so(self, eve):
        text = eve.get("/audit/").content.decode()
        assert "No entry fits" in text and "None yet" in text
        assert eve.get("/audit/log/").status_code == 200
        assert eve.get("/audit/log/checkpoint").status_code == 404


class TestEntry:
    def test_it_shows_the_exact_text_and_every_id(self, eve, some_log):
        found = Entry.objects.get(event=Event.KEYS_INTENDED)
        text = eve.get(f"/audit/entries/{found.pk}/").content.decode()
        assert bytes(found.data).decode().replace('"', "&quot;") in text
        assert text.count("<li>00000000-0000-0000-0000-00000000000") == 3
        assert "Signed" in text

    def test_its_proof_is_good(self, eve, some_log, tmp_path):
        found = Entry.objects.get(event=Event.KEYS_INTENDED)
        response = eve.get(f"/audit/entries/{found.pk}/proof")
        assert response["Content-Disposition"] == 'attachment; filename="entry-3.tlog-proof"'
        assert run_verifier("receipt", response.content, tmp_path).code == 0

    def test_there_is_no_proof_before_it_is_signed(self, eve, some_log, write):
        (found,) = write()
        assert eve.get(f"/audit/entries/{found.pk}/proof").status_code == 404
        assert "as soon as the entry is signed" in eve.get(f"/audit/entries/{found.pk}/").content.decode()

    @pytest.mark.parametrize("pk", [0, 10**6, 10**30])
    def test_an_entry_that_is_not_there(self, eve, some_log, pk):
        assert eve.get(f"/audit/entries/{pk}/").status_code == 404
        assert eve.get(f"/audit/entries/{pk}/proof").status_code == 404


def test_a_detail_with_the_name_items_is_shown_like_any_other(eve, some_log, handle, officer):
    with transaction.atomic():
        found = services.append(
            Event.STEP_CONFIRMED, about=handle, actor=officer, location=UUID(int=1), phase="purge", items=2, documents=0
        )
    for page in ("/audit/", f"/audit/entries/{found.pk}/", f"/audit/about/{handle}/"):
        answer = eve.get(page)
        assert answer.status_code == 200
        assert ">items" in answer.content.decode() or "items <span" in answer.content.decode()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (True, "yes"),
        (False, "no"),
        ([1], "1 id"),
        (["a", "b"], "2 ids"),
        ("review", "review"),
        (7, "7"),
        ("ab" * 32, "ababababababa…"),
    ],
)
def test_a_detail_is_said_in_a_word_or_two(value, words):
    assert audit_log.detail(value) == words


class TestStory:
    def test_it_tells_everything_about_one_request_in_order(self, eve, some_log, handle):
        response = eve.get(f"/audit/about/{handle}/")
        assert [row.entry.event for row in response.context["rows"]] == [
            "request.opened",
            "request.looked_at",
            "keys.intended",
        ]
        text = response.content.decode()
        assert (
            text.index("Request received")
            < text.index("Request looked at")
            < text.index("Destruction of keys intended")
        )

    def test_a_long_one_goes_on(self, eve, write, handle, monkeypatch):
        monkeypatch.setattr(listing, "STORY_PAGE", 3)
        write(4)
        first = eve.get(f"/audit/about/{handle}/")
        rest = eve.get(f"/audit/about/{handle}/?after={first.context['more']}")
        assert [len(page.context["rows"]) for page in (first, rest)] == [3, 1]
        assert rest.context["more"] is None

    @pytest.mark.parametrize("unknown", ["ada", "a" * 26])
    def test_a_handle_that_is_not_in_the_log(self, eve, some_log, unknown):
        assert eve.get(f"/audit/about/{unknown}/").status_code == 404


class TestExport:
    def test_the_whole_log_is_complete_and_verifies(self, eve, some_log, write, tmp_path):
        write(3)  # not signed when the page is asked for
        response = eve.get("/audit/export.jsonl")
        assert response["Content-Disposition"] == 'attachment; filename="audit-log.jsonl"'
        result = run_verifier("log", body_of(response), tmp_path)
        assert result.code == 0 and "8 entries" in result.out

    def test_a_filtered_one_verifies_entry_by_entry(self, eve, some_log, handle, tmp_path):
        lines = body_of(eve.get(f"/audit/export.jsonl?about={handle}"))
        assert [json.loads(line)["index"] for line in lines.splitlines()[1:]] == [1, 2, 3]
        assert run_verifier("log", lines, tmp_path).code == 0

    def test_a_spreadsheet(self, eve, some_log, handle):
        response = eve.get(f"/audit/export.csv?about={handle}")
        rows = list(csv.DictReader(io.StringIO(body_of(response).decode())))
        assert [row["event"] for row in rows] == ["request.opened", "request.looked_at", "keys.intended"]
        assert json.loads(rows[1]["details"]) == {"purpose": "review"}

    def test_when_nothing_can_be_signed_there_is_what_was_signed_before(self, eve, some_log, write, monkeypatch):
        write(3)

        def refuse(limit):
            raise NotSigned

        monkeypatch.setattr(services, "sequence", refuse)
        assert len(body_of(eve.get("/audit/export.jsonl")).splitlines()) == 6
        assert len(body_of(eve.get("/audit/export.csv")).splitlines()) == 9

    def test_without_any_signature_there_is_nothing_to_take(self, eve, monkeypatch):
        def refuse(limit):
            raise NotSigned

        monkeypatch.setattr(services, "sequence", refuse)
        assert eve.get("/audit/export.jsonl").status_code == 404

    def test_other_formats_do_not_exist(self, eve, some_log):
        assert eve.get("/audit/export.xml").status_code == 404


class TestVerify:
    def test_a_good_log_is_good(self, eve, some_log):
        text = eve.post("/audit/verify/").content.decode()
        assert "The log is good" in text and "5 entries give the signed root" in text

    def test_a_long_one_is_checked_in_parts(self, eve, write, monkeypatch):
        write(600)
        services.sequence()
        monkeypatch.setattr(views, "VERIFY_SECONDS", 0.0)
        text = eve.post("/audit/verify/").content.decode()
        assert "Good, as far as it was checked" in text and "from number 512 on" in text
        (before,) = re.findall(r'name="before" value="(\d+)"', text)
        assert "from number 256 on" in eve.post("/audit/verify/", {"before": before}).content.decode()
        assert "from number 512 on" in eve.post("/audit/verify/", {"before": "x"}).content.decode()

    def test_a_changed_entry_is_found(self, eve, some_log):
        with past_the_triggers():
            Entry.objects.filter(event=Event.REQUEST_LOOKED_AT).update(role="person")
        response = eve.post("/audit/verify/")
        assert "The log is damaged" in response.content.decode()
        assert "entry 2 is listed with other columns" in response.content.decode()
        with pytest.raises(verification.LogDamaged):
            verification.verify_everything()


class TestPublicLog:
    def test_the_key_and_how_to_use_it(self, client, some_log):
        text = client.get("/audit/log/").content.decode()
        assert selectors.public_key_text() in text and selectors.archive_key_text() in text

    def test_checkpoint_and_hash_tiles_are_what_is_published(self, client, write, tiles_dir):
        write(600)
        services.sequence()
        assert client.get("/audit/log/checkpoint").content == (tiles_dir / "checkpoint").read_bytes()
        assert client.get("/audit/log/checkpoint")["Content-Type"] == "text/plain; charset=utf-8"
        for name in ("0/000", "0/001", "0/002.p/89", "1/000.p/2"):
            response = client.get(f"/audit/log/tile/{name}")
            assert response.content == (tiles_dir / "tile" / name).read_bytes()
            assert response["Cache-Control"] == "public, no-cache"
            again = client.get(f"/audit/log/tile/{name}", headers={"If-None-Match": response["ETag"]})
            assert (again.status_code, again.content) == (304, b"")
        assert client.get("/audit/log/tile/0/001.p/7").content == (tiles_dir / "tile/0/001").read_bytes()[: 7 * 32]

    def test_eve_gets_entry_tiles_as_they_are_published(self, eve, write, tiles_dir):
        write(300)
        services.sequence()
        for name in ("000", "001.p/45"):
            assert (
                eve.get(f"/audit/log/tile/entries/{name}").content == (tiles_dir / "tile/entries" / name).read_bytes()
            )

    @pytest.mark.parametrize(
        "name",
        ["0/001", "0/000.p/6", "0/000.p/0", "0/000.p/256", "0/0", "0/x000/000.p/5", "1/000.p/1", "64/000", "0/000.p/05",
         "0/999", "0/x999/x999/x999/x999/x999/999", "0/../checkpoint", "0/000x", "9/000.p/1"],
    )  # fmt: skip
    def test_tiles_that_no_checkpoint_covers_do_not_exist(self, client, some_log, write, name):
        write(3)
        assert client.get("/audit/log/tile/0/000.p/5").status_code == 200
        assert client.get(f"/audit/log/tile/{name}").status_code == 404

    def test_without_a_checkpoint_there_are_no_tiles(self, client):
        assert client.get("/audit/log/tile/0/000.p/1").status_code == 404


class TestMasterKeys:
    @pytest.fixture
    def tell(self, officer):
        def tell(event: Event, **details) -> Entry:
            with transaction.atomic():
                return services.append(event, about="", actor=officer, **details)

        return tell

    def test_it_tells_when_an_epoch_ended_with_the_proof_of_every_entry(self, eve, tell):
        first, second, proposal = (UUID(int=number) for number in (1, 2, 3))
        shown = [tell(Event.MASTER_KEY_BEGUN, epoch=second, retired=[first], provider="vault")]
        for event in (Event.MASTER_KEYS_PROPOSED, Event.MASTER_KEYS_APPROVED, Event.MASTER_KEYS_INTENDED):
            shown.append(tell(event, proposal=proposal, epochs=[first]))
        services.sequence()
        before = eve.get("/audit/master-keys/")
        assert "Destruction intended" in before.content.decode() and "Gone for good" not in before.content.decode()
        shown.append(tell(Event.MASTER_KEYS_DESTROYED, intent=b"i" * 32, epochs=[first], gone_by=timezone.now().date()))
        unsigned = eve.get("/audit/master-keys/").content.decode()
        assert f"/audit/entries/{shown[-1].pk}/" in unsigned and f"/audit/entries/{shown[-1].pk}/proof" not in unsigned
        services.sequence()
        response = eve.get("/audit/master-keys/")
        text, (newest, oldest) = response.content.decode(), response.context["endings"]
        assert (newest.epoch, oldest.epoch) == (str(second), str(first))
        assert [row.entry.pk for row in oldest.rows] == [entry.pk for entry in shown]
        assert [row.entry.pk for row in newest.rows] == [shown[0].pk] and newest.destroyed is None
        assert f"Gone for good by {timezone.now().date()}." in text and "Out of service" in text
        for entry in shown:
            assert f'href="/audit/entries/{entry.pk}/proof"' in text
            assert eve.get(f"/audit/entries/{entry.pk}/proof").status_code == 200
        assert "/audit/master-keys/" in eve.get("/audit/").content.decode()

    def test_under_a_standing_policy_the_policy_is_who_decided(self, eve, tell):
        epoch, policy, other = (UUID(int=number) for number in (1, 2, 3))
        tell(Event.MASTER_KEY_POLICY_SET, proposal=other)
        shown = [
            tell(Event.MASTER_KEY_POLICY_PROPOSED, proposal=policy),
            tell(Event.MASTER_KEY_POLICY_SET, proposal=policy),
            tell(Event.MASTER_KEYS_INTENDED, proposal=policy, epochs=[epoch]),
            tell(Event.MASTER_KEYS_DESTROYED, intent=b"i" * 32, epochs=[epoch]),
        ]
        tell(Event.MASTER_KEY_POLICY_ENDED, proposal=policy)
        response = eve.get("/audit/master-keys/")
        [ending] = response.context["endings"]
        assert [row.entry.pk for row in ending.rows] == [entry.pk for entry in shown]
        assert "cannot be proven" in response.content.decode()

    def test_a_long_history_is_cut_and_says_so(self, eve, tell, monkeypatch):
        for number in (1, 2):
            tell(Event.MASTER_KEYS_DESTROYED, intent=b"i" * 32, epochs=[UUID(int=number)])
        assert "Older entries" not in eve.get("/audit/master-keys/").content.decode()
        monkeypatch.setattr(master_keys, "MOST_ENTRIES", 1)
        response = eve.get("/audit/master-keys/")
        assert [ending.epoch for ending in response.context["endings"]] == [str(UUID(int=2))]
        assert "Older entries" in response.content.decode()

    def test_without_any_it_says_so(self, eve):
        assert "No master key was replaced yet" in eve.get("/audit/master-keys/").content.decode()
