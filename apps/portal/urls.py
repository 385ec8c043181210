"""Addresses of the person's pages (DESIGN §10)."""

from django.urls import path

from apps.portal.views import (
    conversations,
    correcting,
    filing,
    imports,
    intake,
    pages,
    privacy,
    reading,
    receipts,
    requests,
    standstill,
)

app_name = "portal"

urlpatterns = [
    path("", pages.home, name="home"),
    path("language/", pages.language, name="language"),
    path("how-it-works/", pages.how, name="how"),
    path("accessibility/", pages.accessibility, name="accessibility"),
    path("verify/", pages.verify, name="verify"),
    path("verify/habeas_verify.py", pages.verifier, name="verifier"),
    path("accept-gap/", standstill.accept_gap, name="accept_gap"),
    path("privacy/", privacy.privacy, name="privacy"),
    path("privacy/choices/", privacy.choices, name="choices"),
    path("conversations/", conversations.conversations, name="conversations"),
    path("conversations/search/", conversations.search, name="search"),
    path("conversations/import/", imports.import_page, name="import"),
    path("conversations/import/<uuid:pk>/", imports.import_progress, name="import_progress"),
    path("conversations/erase/", conversations.delete_conversations, name="delete_conversations"),
    path("conversations/erase-all/", conversations.delete_all, name="delete_all"),
    path("conversations/<uuid:pk>/", reading.conversation, name="conversation"),
    path("conversations/<uuid:pk>/erase/", conversations.delete_conversation, name="delete_conversation"),
    path("conversations/<uuid:pk>/messages/<int:position>/remove/", correcting.remove_message, name="remove_message"),
    path(
        "conversations/<uuid:pk>/messages/<int:position>/correct/", correcting.correct_message, name="correct_message"
    ),
    path("conversations/<uuid:pk>/files/<uuid:attachment>/", reading.attachment, name="attachment"),
    path("conversations/<uuid:pk>/images/<uuid:attachment>/", reading.image, name="image"),
    path("requests/", requests.requests, name="requests"),
    path("requests/new/", filing.new_request, name="new_request"),
    path("requests/new/details/", filing.request_details, name="request_details"),
    path("requests/find/", intake.find, name="find"),
    path("requests/without-account/", intake.intake, name="intake"),
    path("requests/confirm/<str:token>/", intake.confirm_intake, name="confirm_intake"),
    path("requests/<str:reference>/", requests.show_request, name="request"),
    path("requests/<str:reference>/messages/", requests.send_message, name="send_message"),
    path("requests/<str:reference>/withdraw/", requests.withdraw, name="withdraw"),
    path("requests/<str:reference>/do-not-wait/", requests.do_not_wait, name="do_not_wait"),
    path("requests/<str:reference>/download/", requests.download, name="download"),
    path("requests/<str:reference>/download/<int:number>/", requests.download, name="download"),
    path("requests/<str:reference>/receipt/", receipts.receipt, name="receipt"),
    path("requests/<str:reference>/receipt/<int:number>/", receipts.receipt, name="receipt"),
    path("requests/<str:reference>/receipt/<int:number>/proof/", receipts.proof, name="proof"),
]
