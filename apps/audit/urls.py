"""Addresses of the log: the auditors' pages, and the public part below log/ (DESIGN §10)."""

from django.urls import path, re_path

from apps.audit import public, views

app_name = "audit"

urlpatterns = [
    path("", views.entries, name="entries"),
    path("entries/<int:pk>/", views.entry, name="entry"),
    path("entries/<int:pk>/proof", views.proof, name="proof"),
    path("about/<slug:handle>/", views.story, name="story"),
    path("master-keys/", views.epochs, name="master_keys"),
    re_path(r"^export\.(?P<extension>csv|jsonl)$", views.export, name="export"),
    path("bundle.zip", views.bundle, name="bundle"),
    path("verify/", views.verify, name="verify"),
    path("log/", public.log, name="log"),
    path("log/checkpoint", public.checkpoint, name="checkpoint"),
    path("log/tile/entries/<path:name>", public.entry_tile, name="entry_tile"),
    path("log/tile/<int:level>/<path:name>", public.hash_tile, name="hash_tile"),
]
