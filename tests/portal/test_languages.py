"""Everything is said in both languages, and dates as people write them."""

from __future__ import annotations

import ast
import gettext
import os
import re
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from django.conf import settings
from django.template import Context, Template
from django.test import Client
from django.utils import timezone, translation

from apps.portal.templatetags.portal import distance, in_utc
from apps.requests.counting import count_words
from tests.portal.conftest import Person

FOLDER = Path("locale") / "zh_Hans" / "LC_MESSAGES"
CATALOGUE = settings.BASE_DIR / FOLDER / "django.po"
MARKED = r"_|n?p?gettext(_lazy|_noop)?"
MARKS = re.compile(r"%\(\w+\)[sd]|\{\w*\}|</?\w+[^>]*>")


def entries(path: Path) -> list[tuple[str, str, str, str]]:
    """Read a catalogue: (context, id, plural, translation) of every entry but the header."""
    found = []
    for block in path.read_text(encoding="utf-8").split("\n\n"):
        lines = [line for line in block.splitlines() if line and not line.startswith("#")]
        fields: dict[str, str] = {}
        name = ""
        for line in lines:
            if line[0] != '"':
                name, line = line.split(" ", 1)
            fields[name] = fields.get(name, "") + bytes(line[1:-1], "utf-8").decode("unicode_escape").encode(
                "latin-1"
            ).decode("utf-8")
        if fields.get("msgid"):
            translated = fields.get("msgstr", fields.get("msgstr[0]", ""))
            found.append((fields.get("msgctxt", ""), fields["msgid"], fields.get("msgid_plural", ""), translated))
    return found


def test_no_text_is_without_a_translation() -> None:
    missing = [text for _context, text, _plural, translated in entries(CATALOGUE) if not translated]
    assert entries(CATALOGUE)
    assert missing == []
    assert "fuzzy" not in CATALOGUE.read_text(encoding="utf-8")


def test_texts_are_marked_by_names_that_the_extraction_knows() -> None:
    """Under another name than gettext's own, or _, a text is in no catalogue, and the catalogue looks complete."""
    renamed = re.compile(r"import [^\n]*\b(?:n?p?gettext\w*|gettext_noop) as (?!_\b)\w+")
    sources = [path for folder in ("apps", "config") for path in (settings.BASE_DIR / folder).rglob("*.py")]
    assert renamed.search("from django.utils.translation import gettext_lazy as _lazy")
    assert not renamed.search("from django.utils.translation import gettext as _")
    assert [str(path) for path in sources if renamed.search(path.read_text(encoding="utf-8"))] == []


def marked_inside_f_strings(source: str) -> list[int]:
    """The lines where a text is marked within an f-string, which the extraction does not read."""
    return [
        call.lineno
        for found in ast.walk(ast.parse(source))
        if isinstance(found, ast.JoinedStr)
        for call in ast.walk(found)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and re.fullmatch(MARKED, call.func.id)
    ]


def test_no_text_is_marked_inside_an_f_string_where_the_extraction_does_not_see_it() -> None:
    assert marked_inside_f_strings("""f"{_('Hidden')}: {number}" """) == [1]
    assert marked_inside_f_strings("""_("Seen") + f": {number}" """) == []
    sources = [path for folder in ("apps", "config") for path in (settings.BASE_DIR / folder).rglob("*.py")]
    assert [str(path) for path in sources if marked_inside_f_strings(path.read_text(encoding="utf-8"))] == []


def test_translations_keep_what_is_filled_in_and_every_tag() -> None:
    for _context, text, plural, translated in entries(CATALOGUE):
        if not translated:
            continue
        wanted = set(MARKS.findall(plural or text))
        assert wanted - {"%(number)s", "%(count)s"} <= set(MARKS.findall(translated)), text
        assert set(MARKS.findall(translated)) <= wanted | set(MARKS.findall(text)), text


def test_the_catalogue_holds_every_text_of_code_and_templates(tmp_path: Path) -> None:
    """Extract again, into a copy, and compare."""
    for name in ("apps", "config", "templates"):
        (tmp_path / name).symlink_to(settings.BASE_DIR / name)
    (tmp_path / FOLDER).mkdir(parents=True)
    command = [sys.executable, "-m", "django", "makemessages", "-l", "zh_Hans", "--symlinks", "--no-location"]
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    wanted = {(context, text) for context, text, _plural, _translated in entries(tmp_path / FOLDER / "django.po")}
    held = {(context, text) for context, text, _plural, _translated in entries(CATALOGUE)}
    assert len(wanted) > 1000
    assert sorted(wanted - held) == []


def test_the_compiled_catalogue_is_that_of_the_source() -> None:
    with (settings.BASE_DIR / FOLDER / "django.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    for context, text, plural, translated in entries(CATALOGUE):
        if plural:
            said = compiled.npgettext(context, text, plural, 2) if context else compiled.ngettext(text, plural, 2)
        else:
            said = compiled.pgettext(context, text) if context else compiled.gettext(text)
        assert said == (translated or text), text


@pytest.mark.parametrize(
    ("language", "day", "moment", "counted"),
    [
        ("en", "11 December 2026", "11 December 2026, 09:05", "1,213 conversations, 1 message"),
        ("zh-hans", "2026年12月11日", "2026年12月11日 09:05", "1,213 个对话，1 条消息"),
    ],
)
def test_dates_and_counts_are_written_as_people_write_them(language: str, day: str, moment: str, counted: str) -> None:
    at = datetime(2026, 12, 11, 9, 5, 4, tzinfo=UTC)
    template = Template("{{ at|date }}|{{ at|date:'DATETIME_FORMAT' }}")
    with translation.override(language), timezone.override(UTC):
        assert template.render(Context({"at": at})) == f"{day}|{moment}"
        assert in_utc(at, "seconds") == f"{moment}:04 UTC"
        assert count_words({"message": 1, "conversations": 1213, "found again x": 4, "files": 0}) == counted


def test_distances_are_said_in_days(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timezone, "localdate", lambda: date(2026, 11, 22))
    days = [date(2026, 11, 22), date(2026, 11, 23), date(2026, 12, 22), date(2026, 11, 20)]
    with translation.override("en"):
        assert [distance(day) for day in days] == ["today", "in 1 day", "in 30 days", "2 days ago"]
    with translation.override("zh-hans"):
        assert [distance(day) for day in days] == ["就是今天", "还有 1 天", "还有 30 天", "2 天前"]


@pytest.mark.django_db(databases=["default", "keys"])
def test_the_language_is_remembered_and_the_page_kept(ada: Person, nobody: Client) -> None:
    answer = nobody.post("/language/", {"language": "zh-hans", "next": "/verify/"}, follow=True)
    page = answer.content.decode()
    assert '<html lang="zh-Hans"' in page
    assert "核验回执或归档" in page
    assert "<title>核验回执或归档 – Larkspur 隐私中心</title>" in page
    assert '<html lang="en"' in nobody.post("/language/", {"language": "en", "next": "/"}, follow=True).content.decode()
    ada.client.post("/language/", {"language": "zh-hans", "next": "/"})
    ada.user.refresh_from_db()
    assert ada.user.language == "zh-hans"


@pytest.mark.slow
@pytest.mark.django_db(databases=["default", "keys"])
def test_times_are_those_of_the_persons_zone(ada: Person) -> None:
    ada.client.post("/privacy/choices/", {"time_zone": "Asia/Shanghai", "recording": "on"})
    assert "Times on this page are those of Asia/Shanghai." in ada.client.get("/privacy/").content.decode()
    wrong = ada.client.post("/privacy/choices/", {"time_zone": "Mars/Olympus"}).content.decode()
    assert "<title>Error: " in wrong
    ada.user.time_zone = "Gone/Away"  # a zone that this machine's tables do not know
    ada.user.save()
    assert ada.client.get("/privacy/").status_code == 200
