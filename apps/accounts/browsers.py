"""A browser's name for people, from what it calls itself."""

from __future__ import annotations

from django.utils.translation import gettext as _

# Chrome's name stands in what most others say, Safari's in Chrome's: the first that fits is right.
BROWSERS = (
    ("Edg", "Edge"),
    ("OPR", "Opera"),
    ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"),
    ("Chrome", "Chrome"),
    ("CriOS", "Chrome"),
)
SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iOS"),
    ("iPad", "iPadOS"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)


def browser_name(user_agent: str) -> str:
    """Return for example "Firefox (Linux)"; what is not known is called so."""
    browser = next((name for mark, name in (*BROWSERS, ("Safari", "Safari")) if mark in user_agent), None)
    system = next((name for mark, name in SYSTEMS if mark in user_agent), None)
    if browser and system:
        return f"{browser} ({system})"
    return browser or system or _("a browser that does not say its name")
