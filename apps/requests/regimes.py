"""The law as data: each figure with its citation. Another regime is another entry of REGIMES and nothing else.

Not legal advice. A figure that changes is changed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from apps.requests.calendars import public_holidays
from apps.requests.clocks import DayType, Period
from apps.requests.errors import UnknownRegime
from apps.requests.models import Kind

Text = str | Promise

NONE, REASONABLE, REASONABLY_HIGH = "none", "reasonable", "reasonably_high"
LEVELS = (NONE, REASONABLE, REASONABLY_HIGH)

# Who says yes: an officer; or the operator's standing policy for people who are signed in; or two officers above a
# threshold of the operator's.
OFFICER, OFFICER_OR_POLICY, TWO_OFFICERS = "officer", "officer_or_policy", "two_officers"


@dataclass(frozen=True)
class Right:
    """One right: its article, how sure we must be who asks, and who says yes."""

    article: Text
    identity: str
    identity_cite: Text
    approval: str = OFFICER
    notify_cite: Text = ""  # who else has to be told, where it is another rule than the regime's
    end_cite: Text = ""  # of a right that can end: what wants the person told before


@dataclass(frozen=True)
class Ground:
    """A reason for which the law lets a request be refused, or asked for. `kinds`: for which requests."""

    code: str  # of audit.choices.GROUNDS, where it is one for refusing
    label: Text
    article: Text
    kinds: frozenset[str]


@dataclass(frozen=True)
class Authority:
    """Whom a person may complain to, and what else they may do."""

    name: Text
    url: str
    remedy: Text  # the judicial remedy, said in every refusal (GDPR Article 12(4))


@dataclass(frozen=True)
class Regime:
    code: str
    name: Text
    rights: Mapping[str, Right]
    acknowledge: Period | None
    respond: Period
    extended: Period | None  # counted from the receipt as well, not from the end of the first period
    extension_cite: Text
    holidays: str  # whose public holidays count
    authority: Authority
    grounds: tuple[Ground, ...]  # for refusing
    record_cite: Text  # why a record of the request is kept
    notify_cite: Text  # who else has to be told
    data_points: Mapping[str, int] = field(default_factory=dict)  # to compare for each identity level
    asking_grounds: tuple[Ground, ...] = ()  # one of them the person has to give

    def due(self, period: Period, received_on: date) -> date:
        return period.end(received_on, public_holidays(self.holidays))

    def right(self, kind: str) -> Right:
        return self.rights[kind]

    def ground(self, code: str, kind: str) -> Ground | None:
        return next((ground for ground in self.grounds if ground.code == code and kind in ground.kinds), None)

    def grounds_for(self, kind: str) -> list[Ground]:
        return [ground for ground in self.grounds if kind in ground.kinds]

    def notify_cite_of(self, kind: str, *, is_lifted: bool = False) -> Text:
        """Return what wants others told of what was done; of the end of it, what wants the person told before."""
        right = self.right(kind)
        return right.end_cite if is_lifted else right.notify_cite or self.notify_cite

    def asking_ground(self, code: str, kind: str) -> Ground | None:
        return next((one for one in self.asking_grounds if one.code == code and kind in one.kinds), None)

    def wants_ground(self, kind: str) -> bool:
        return any(kind in ground.kinds for ground in self.asking_grounds)


ALL = frozenset(Kind)
COPIES = frozenset({Kind.ACCESS, Kind.PORTABILITY})
ERASURES = frozenset({Kind.ERASURE})
RECTIFICATIONS = frozenset({Kind.RECTIFICATION})
RESTRICTIONS = frozenset({Kind.RESTRICTION})
HELD = COPIES | ERASURES

GDPR = Regime(
    code="gdpr",
    name=_("GDPR"),
    rights={
        # Article 12(6): more information only on reasonable doubts; signed in and re-authenticated leaves none.
        Kind.ACCESS: Right(_("Article 15"), REASONABLE, _("Article 12(6)"), OFFICER_OR_POLICY),
        Kind.PORTABILITY: Right(_("Article 20"), REASONABLE, _("Article 12(6)"), OFFICER_OR_POLICY),
        Kind.ERASURE: Right(_("Article 17(1)"), REASONABLE, _("Article 12(6)"), TWO_OFFICERS),
        Kind.RECTIFICATION: Right(_("Article 16"), REASONABLE, _("Article 12(6)")),
        Kind.RESTRICTION: Right(_("Article 18(1)"), REASONABLE, _("Article 12(6)"), end_cite=_("Article 18(3)")),
    },
    acknowledge=None,  # none in the law; we confirm at once all the same
    respond=Period(1, DayType.MONTH, "Article 12(3)", shifts=True),
    extended=Period(3, DayType.MONTH, "Article 12(3)", shifts=True),  # "by two further months"
    extension_cite=_("Article 12(3): complexity or number of requests, told with reasons inside the first month"),
    holidays=settings.HOLIDAYS_COUNTRY,
    authority=Authority(
        _("your data protection authority"),
        settings.SUPERVISORY_AUTHORITY_URL,
        _("You may also go to court (GDPR Article 79)."),
    ),
    grounds=(
        Ground("identity_not_verified", _("We could not find out that it is you"), _("Articles 11(2) and 12(2)"), ALL),
        Ground("manifestly_unfounded", _("The request is manifestly unfounded"), _("Article 12(5)(b)"), ALL),
        Ground("excessive", _("The request is excessive"), _("Article 12(5)(b)"), ALL),
        Ground("rights_of_others", _("It would harm the rights of others"), _("Articles 15(4) and 20(4)"), COPIES),
        Ground("freedom_of_expression", _("Freedom of expression and information"), _("Article 17(3)(a)"), ERASURES),
        Ground("legal_obligation", _("The law obliges us to keep it"), _("Article 17(3)(b)"), ERASURES),
        Ground("public_interest", _("Public health, archiving or research"), _("Article 17(3)(c) and (d)"), ERASURES),
        Ground("legal_claim", _("It is needed for a legal claim"), _("Article 17(3)(e)"), ERASURES),
        Ground("accurate", _("What we hold is right as it is"), _("Article 16"), RECTIFICATIONS),
        Ground("nothing_held", _("We hold nothing about you"), _("Article 15(1)"), HELD),
        Ground("nothing_held", _("We hold nothing about you"), _("Article 12(4)"), RECTIFICATIONS | RESTRICTIONS),
        Ground("not_applicable", _("This right does not apply here"), _("Article 12(4)"), ALL),
    ),
    record_cite=_("Article 5(2)"),
    notify_cite=_("Article 19"),
    data_points={REASONABLE: 2, REASONABLY_HIGH: 3},
    asking_grounds=(
        Ground("accuracy", _("Something is wrong, and I want it left alone while you check"), _("Article 18(1)(a)"), RESTRICTIONS),
        Ground("unlawful", _("You had no right to use it, but I do not want it erased"), _("Article 18(1)(b)"), RESTRICTIONS),
        Ground("claim", _("You do not need it any more, but I need it for a legal claim"), _("Article 18(1)(c)"), RESTRICTIONS),
        Ground("objection", _("I have objected to its use, and you are still deciding"), _("Article 18(1)(d)"), RESTRICTIONS),
    ),
)  # fmt: skip

CCPA = Regime(
    code="ccpa",
    name=_("CCPA"),
    rights={
        # Conversations are specific pieces of personal information, and sensitive: the higher level (7062(c), (d)).
        Kind.ACCESS: Right(_("Cal. Civ. Code § 1798.110"), REASONABLY_HIGH, _("11 CCR § 7062(c)"), OFFICER_OR_POLICY),
        Kind.PORTABILITY: Right(
            _("Cal. Civ. Code § 1798.130(a)(3)(B)"), REASONABLY_HIGH, _("11 CCR § 7062(c)"), OFFICER_OR_POLICY
        ),
        Kind.ERASURE: Right(_("Cal. Civ. Code § 1798.105"), REASONABLY_HIGH, _("11 CCR § 7062(d)"), TWO_OFFICERS),
        Kind.RECTIFICATION: Right(
            _("Cal. Civ. Code § 1798.106"), REASONABLY_HIGH, _("11 CCR § 7062(d)"), notify_cite=_("11 CCR § 7023(c)")
        ),
    },
    acknowledge=Period(10, DayType.BUSINESS_DAY, "11 CCR § 7021(a)"),
    respond=Period(45, DayType.DAY, "11 CCR § 7021(b)"),  # regardless of the time that verification takes
    extended=Period(90, DayType.DAY, "11 CCR § 7021(b)"),
    extension_cite=_("11 CCR § 7021(b): with a notice and an explanation"),
    holidays="US-CA",
    authority=Authority(
        _("the California Privacy Protection Agency"),
        "https://cppa.ca.gov/",
        _("You may also turn to the Attorney General of California."),
    ),
    grounds=(
        Ground("identity_not_verified", _("We could not verify that it is you"), _("11 CCR §§ 7022(a), 7024(a)"), ALL),
        Ground("manifestly_unfounded", _("The request is manifestly unfounded"), _("§ 1798.145(h)(3)"), ALL),
        Ground("excessive", _("The request is excessive"), _("§ 1798.145(h)(3)"), ALL),
        Ground("rights_of_others", _("It would harm the rights of others"), _("§ 1798.145(k)"), COPIES),
        Ground("freedom_of_expression", _("Free speech"), _("§ 1798.105(d)(4)"), ERASURES),
        Ground("public_interest", _("Research in the public interest"), _("§ 1798.105(d)(6)"), ERASURES),
        Ground("legal_obligation", _("A legal obligation"), _("§ 1798.105(d)(8)"), ERASURES),
        Ground("legal_claim", _("It is needed for a legal claim"), _("§ 1798.145(a)"), ERASURES),
        Ground("accurate", _("What we hold is right as it is"), _("11 CCR § 7023(b)"), RECTIFICATIONS),
        Ground("nothing_held", _("We hold nothing about you"), _("§ 1798.110(b)"), HELD),
        Ground("nothing_held", _("We hold nothing about you"), _("§ 1798.106(a)"), RECTIFICATIONS),
        Ground("not_applicable", _("This right does not apply here"), _("§ 1798.145"), ALL),
    ),
    record_cite=_("11 CCR § 7101"),
    notify_cite=_("11 CCR § 7022(b)"),
    data_points={REASONABLE: 2, REASONABLY_HIGH: 3},  # 11 CCR 7062(b), (c): and then a signed declaration
)

REGIMES: dict[str, Regime] = {regime.code: regime for regime in (GDPR, CCPA)}


def regime_of(code: str) -> Regime:
    """Return the regime; raises UnknownRegime."""
    try:
        return REGIMES[code]
    except KeyError:
        raise UnknownRegime(code) from None


def is_enough(level: str, wanted: str) -> bool:
    """Say whether an identity level reaches the one that is wanted."""
    return LEVELS.index(level) >= LEVELS.index(wanted)
