"""The ASGI application: one server for pages, downloads and streams."""

import os

from django.core.asgi import get_asgi_application

from config.bodies import LimitBodies

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = LimitBodies(get_asgi_application())
