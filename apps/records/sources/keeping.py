"""Adding and changing sources, and trying one before it is saved: its first rows as the messages that they would become."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.audit import services as audit
from apps.audit.actors import Actor
from apps.audit.events import Event, Purpose
from apps.locations.models import Location
from apps.locations.said import read
from apps.records import subjects
from apps.records.importers.display import text_of
from apps.records.importers.types import ParsedConversation
from apps.records.models import Source, SourceFile, SourceRun
from apps.records.sources.reading import Line, reader_for
from apps.records.sources.running import PERIODS, kind_of_mapping, report_of

CHANGED = ("every", "adds_people", "is_active", "next_run_at")
PREVIEWED = 8  # messages
PREVIEWED_CHARACTERS = 160


def add_source(*, name: str, location: Location, mapping: dict[str, Any], actor: Actor, **settings: Any) -> Source:
    """Add a source; it is read for the first time at once."""
    with transaction.atomic():
        source = Source.objects.create(
            name=name, location=location, mapping=mapping, next_run_at=timezone.now(), **settings
        )
        _append_entry(Event.SOURCE_ADDED, source, actor)
    return source


def change_source(source: Source, *, actor: Actor, **settings: Any) -> None:
    """Change how often a source is read and whether it adds people, or stop and go on."""
    now = timezone.now()
    with transaction.atomic():
        Source.objects.select_for_update().get(pk=source.pk)
        source.refresh_from_db(fields=CHANGED)  # what another has changed meanwhile stays
        for name in ("every", "adds_people", "is_active"):
            setattr(source, name, settings.get(name, getattr(source, name)))
        source.next_run_at = min(source.next_run_at or now, now + PERIODS[Source.Every(source.every)])
        source.save(update_fields=CHANGED)
        _append_entry(Event.SOURCE_CHANGED, source, actor)


def read_now(source: Source, *, from_the_beginning: bool = False) -> None:
    """Make the next reading due at once; `from_the_beginning`: of everything, for people who came to be known since.

    Whoever reads it at this moment loses it then: else its cursor would be written over the beginning.
    """
    if from_the_beginning:
        Source.objects.filter(pk=source.pk).update(cursor={}, token=None)
        SourceFile.objects.filter(source=source).delete()
    Source.objects.filter(pk=source.pk).update(next_run_at=timezone.now())
    Source.objects.filter(pk=source.pk, token=None).update(lease_until=None)


def preview(location: Location, mapping: dict[str, Any], *, actor: Actor) -> tuple[list[Line], list[str]]:
    """Return the first messages, and what could not be read or is wrong with the mapping. Nothing is stored.

    A look at what people wrote: it is an entry, and one about each of them who is known here, who finds it among the looks.
    Raises LocationError.
    """
    reader = reader_for(location, mapping)
    problems = reader.check()
    if problems:
        return [], problems
    lines: list[Line] = []
    for batch in reader.batches({}):
        problems += [f"{one.what}: {one.why}" for one in batch.troubles[:5]]
        for person, items in batch.people.items():
            for item in items:
                if isinstance(item, ParsedConversation):
                    lines += islice(_lines(person, item), PREVIEWED - len(lines))
                else:
                    problems.append(f"{item.what}: {item.why}")
                if len(lines) >= PREVIEWED:
                    break
        if len(lines) >= PREVIEWED or len(problems) > PREVIEWED:
            break
    with transaction.atomic():
        audit.append(Event.SOURCE_PREVIEWED, about="", actor=actor, location=location.pk, rows=len(lines))
        for person, count in Counter(line.person for line in lines).items():
            for handle in subjects.handles_of(kind_of_mapping(mapping), person):
                audit.append(
                    Event.CONTENT_LOOKED_AT, about=handle, actor=actor, messages=count, purpose=Purpose.SUPPORT
                )
    return lines, problems[:PREVIEWED]


def look_at_report(source: Source, runs: Sequence[SourceRun], *, actor: Actor) -> dict[str, Any]:
    """Open what the newest run with a report says of rows and people. A look, and so an entry, when there is any."""
    run = next((run for run in runs if run.sealed_report and _is_about_rows(run)), None)
    if run is None:
        return {"troubles": [], "unknown": []}
    report = report_of(run)
    rows = len(report["troubles"]) + len(report["unknown"])
    with transaction.atomic():
        audit.append(Event.SOURCE_PREVIEWED, about="", actor=actor, location=source.location_id, rows=rows)
    return report


def why_it_failed(runs: Sequence[SourceRun]) -> str:
    """Return what the place said when the newest run of these failed; "" if it did not, or said nothing. About nobody."""
    newest = next(iter(runs), None)
    failed = newest is not None and newest.state == SourceRun.State.FAILED
    return read(str(report_of(newest).get("said", ""))) if newest is not None and failed else ""


def _is_about_rows(run: SourceRun) -> bool:
    return any(run.counts.get(name) for name in ("skipped", "unknown_people"))


def _lines(person: str, parsed: ParsedConversation) -> Any:
    for node in parsed.nodes:
        if node.role:
            text = " ".join(" ".join(part.text for part in text_of(node)).split())[:PREVIEWED_CHARACTERS]
            yield Line(person, parsed.external_id, node.role, text, node.created_at)


def _append_entry(event: Event, source: Source, actor: Actor) -> None:
    audit.append(
        event,
        about="",
        actor=actor,
        source=source.pk,
        location=source.location_id,
        active=source.is_active,
        adds_people=source.adds_people,
    )
