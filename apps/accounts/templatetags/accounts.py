"""For the account pages."""

from __future__ import annotations

from django import template

from apps.accounts.browsers import browser_name

register = template.Library()
register.filter("browser", browser_name)
