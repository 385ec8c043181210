"""Settings of the site. Everything that differs between installations comes from the environment (config/env.py)."""

from pathlib import Path

from django.utils.translation import gettext_lazy as _

from config import anchors, env, logs
from config.colours import COLOURS

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = env.data_dir(BASE_DIR / "var")  # everything that a single machine keeps

DEBUG = False
SECRET_KEY = env.text("SECRET_KEY")
SECRET_KEY_FALLBACKS = env.words("SECRET_KEY_FALLBACKS")  # earlier ones: sessions and links made with them stay good
LOG_SIGNING_KEY = env.signing_key("LOG_SIGNING_KEY")
ARCHIVE_SIGNING_KEY = env.signing_key("ARCHIVE_SIGNING_KEY", unlike=LOG_SIGNING_KEY)
SITE_URL = env.site_url("SITE_URL", "http://127.0.0.1:8000")
SITE_HOST = env.host_of(SITE_URL)
SAMPLE_SITE = env.flag("SAMPLE_SITE", False)  # sample people exist; only ever on loopback
STAFF_SECOND_STEP = env.flag("STAFF_SECOND_STEP", not SAMPLE_SITE)  # staff get in with two steps only
COMMAND_LINE_APPROVAL = env.flag("COMMAND_LINE_APPROVAL", False)
ORGANISATION_NAME = env.text("ORGANISATION_NAME", "Larkspur")
PRIVACY_CONTACT = env.address("PRIVACY_CONTACT", "dpo@larkspur.example")
ORGANISATION_ADDRESS = env.text("ORGANISATION_ADDRESS", "Larkspur, Sample Street 1, 10115 Berlin, Germany")
SUPERVISORY_AUTHORITY_URL = env.text("SUPERVISORY_AUTHORITY_URL", "https://www.bfdi.bund.de/")
METRICS_TOKEN = env.text("METRICS_TOKEN", "")  # without one /metrics answers on loopback only

ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", f"{SITE_HOST},127.0.0.1,localhost")  # loopback: health checks
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS")
_https = SITE_URL.startswith("https://")

env.refuse_unless_loopback(SAMPLE_SITE, SITE_HOST)

INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "apps.audit",
    "apps.keys",
    "apps.mail",
    "apps.accounts",
    "apps.locations",
    "apps.archives",
    "apps.records",
    "apps.requests",
    "apps.portal",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "config.static.StaticFilesMiddleware",
    "apps.portal.middleware.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "apps.accounts.middleware.PrivatePagesMiddleware",
    "apps.accounts.middleware.SecondStepForStaffMiddleware",
    "apps.accounts.middleware.ActorMiddleware",
    "apps.portal.middleware.TimeZoneMiddleware",
    "apps.portal.quarantine.QuarantineMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "apps.portal.context.organisation",
            ],
        },
    }
]

# Two databases: what is held, and the wrapped keys that open it (DESIGN §2).
DATABASES = env.two_databases(
    {
        "default": env.database("DATABASE_URL", f"sqlite:///{DATA_DIR / 'records.sqlite3'}"),
        "keys": env.database("KEYS_DATABASE_URL", f"sqlite:///{DATA_DIR / 'keys' / 'keys.sqlite3'}"),
    }
)
DATABASE_ROUTERS = ["config.routers.KeysRouter"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Keys
MASTER_KEY_PROVIDER = env.choice("MASTER_KEY_PROVIDER", "file", ("file", "aws_kms", "vault"))  # for new epochs
AWS_KMS_ENDPOINT_URL = env.text("AWS_KMS_ENDPOINT_URL", "")  # region and credentials: as for every AWS SDK
AWS_KMS_WAITING_DAYS = env.number(
    "AWS_KMS_WAITING_DAYS", 7, least=7, most=30
)  # the shortest and longest that AWS allows
VAULT_ADDR = env.service_url("VAULT_ADDR", required=MASTER_KEY_PROVIDER == "vault")
VAULT_TOKEN = env.text("VAULT_TOKEN", None if MASTER_KEY_PROVIDER == "vault" else "")
VAULT_NAMESPACE = env.text("VAULT_NAMESPACE", "")
VAULT_TRANSIT_MOUNT = env.text("VAULT_TRANSIT_MOUNT", "transit")
VAULT_SNAPSHOT_DAYS = env.number("VAULT_SNAPSHOT_DAYS", 30)  # how long snapshots of Vault's own storage are kept
MASTER_KEY_DIR = Path(env.text("MASTER_KEY_DIR", str(DATA_DIR / "master-keys")))
# How long backups of the records database are kept: for so long what is in clear or blind-indexed there is not gone.
RECORDS_BACKUP_RETENTION_DAYS = env.number("RECORDS_BACKUP_RETENTION_DAYS", 30)
KEYS_BACKUP_RETENTION_DAYS = env.number("KEYS_BACKUP_RETENTION_DAYS", 7)  # how long `backup_keys` files are kept
MASTER_KEY_ROLL_DAYS = env.number("MASTER_KEY_ROLL_DAYS", 7)  # a new master key so often; 0: only by roll_master_key
KEY_MOVERS = {  # kind: what seals anew the rows that are sealed under a replaced key itself, and names the new one
    "subject": "apps.records.services.moving.move_subject_key",
}
KEY_OWNERS = {  # kind: the columns that name keys of it; a kind without an entry is never swept
    "subject": ["records.Subject.key_id"],
    "conversation": ["records.Conversation.key_id", "records.Copy.key_id"],
    "import": ["records.Import.key_id"],
    "request": ["requests.PrivacyRequest.key_id", "requests.Intake.key_id", "mail.Letter.key_id"],
    "evidence": ["requests.Evidence.key_id"],
    "archive": ["archives.Archive.key_id"],
    "blind_index": ["records.IndexKey.key_id"],  # the suppression list's too
}
BLIND_INDEXES = {  # every column of keyed index values, and what brings it under a new key
    "records.Identity.index": "apps.records.indexing.columns.IDENTITIES",
    "records.Conversation.external_index": "apps.records.indexing.columns.CONVERSATIONS",
    "records.Forgotten.external_index": "apps.records.indexing.columns.FORGOTTEN",
    "records.SourceFile.index": "apps.records.indexing.columns.SOURCE_FILES",
    "records.Copy.mac": "apps.records.indexing.columns.COPIES",
    "records.Suppressed.index": "apps.records.indexing.columns.SUPPRESSED",
    "requests.PrivacyRequest.email_index": "apps.requests.indexing.EMAILS_OF_REQUESTS",
}

# The audit log
AUDIT_ORIGIN = env.text("AUDIT_ORIGIN", SITE_URL.split("://", 1)[1] + "/audit/log")
TILES_DIR = Path(env.text("TILES_DIR", str(DATA_DIR / "tiles")))  # outside both databases
ANCHORS = anchors.anchors("ANCHORS")  # where checkpoints are left, so that the operator cannot rewrite the log unseen
ANCHORS_WANTED = env.number("ANCHORS_WANTED", 2)  # fewer shows on /audit/, in /readyz and /metrics
ANCHOR_EVERY_MINUTES = env.number("ANCHOR_EVERY_MINUTES", 60, least=1)

# What a process asks when it starts; anything but "" puts the site into quarantine (apps/audit/quarantine.py)
QUARANTINE_CHECKS = ["apps.keys.recognising.check_keys", "apps.audit.recognising.check_log"]

# Storages: attachments, archives, uploads. All that lies there is sealed.
STORAGE_URL = env.text("STORAGE_URL", f"file://{DATA_DIR / 'storage'}")
STORAGES = {
    "default": env.storage("STORAGE_URL", STORAGE_URL),
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
OBJECT_OWNERS = {  # folder: whose rows name objects in it (columns object_name, stored, created_at), and when one must be there
    "attachments": (
        "records.Attachment",
        {"stored": True, "conversation__erasing_at": None, "conversation__subject__frozen_at": None},
    ),
    "imports": ("records.Import", {"stored": True, "state__in": ["waiting", "running"], "subject__frozen_at": None}),
    "archives": ("archives.Segment", {"stored": True, "archive__state__in": ["building", "ready"]}),
    "evidence": ("requests.Evidence", {"stored": True, "destroyed_at": None}),
    "tasks": ("requests.TaskFile", {"stored": True}),
}
FILE_UPLOAD_PERMISSIONS, FILE_UPLOAD_DIRECTORY_PERMISSIONS = 0o600, 0o700
STATIC_URL = "/static/"
STATIC_ROOT = Path(env.text("STATIC_ROOT", str(BASE_DIR / "staticfiles")))
STATICFILES_DIRS = [BASE_DIR / "static"]

# Places: one connector module for each kind (DESIGN §4)
CONNECTORS = {
    "records": "apps.records.connector.RecordsConnector",
    "account": "apps.requests.connector.AccountConnector",
    "archives": "apps.archives.connector.ArchivesConnector",
    "copies": "apps.records.copies.connector.CopiesConnector",
    "files": "apps.locations.connectors.files.FilesConnector",
    "s3": "apps.locations.connectors.s3.S3Connector",
    "gcs": "apps.locations.connectors.gcs.GcsConnector",
    "azure": "apps.locations.connectors.azure.AzureConnector",
    "sftp": "apps.locations.connectors.sftp.SftpConnector",
    "storage": "apps.locations.connectors.storages.StorageConnector",
    "mongodb": "apps.locations.connectors.mongodb.connector.MongoConnector",
    "sql": "apps.locations.connectors.sql.connector.SqlConnector",
    "openai": "apps.locations.connectors.openai.OpenAIConnector",
    "hand": "apps.locations.connectors.hand.HandConnector",
    "http": "apps.locations.connectors.http.HTTPConnector",
    "lanying": "apps.locations.connectors.lanying.LanyingConnector",
}
STORES = {  # kinds of place that copies are written to and watched files are read from
    "files": "apps.locations.stores.files.FilesStore",
    "s3": "apps.locations.stores.s3.S3Store",
    "gcs": "apps.locations.stores.gcs.GcsStore",
    "azure": "apps.locations.stores.azure.AzureStore",
    "sftp": "apps.locations.stores.sftp.SftpStore",
    "sql": "apps.locations.stores.sql.SqlStore",
    "mongodb": "apps.locations.stores.mongo.MongoStore",
}
SOURCES = {  # kinds of place that conversations are brought in from
    "files": "apps.records.sources.files.FilesReader",
    "s3": "apps.records.sources.files.FilesReader",
    "gcs": "apps.records.sources.files.FilesReader",
    "azure": "apps.records.sources.files.FilesReader",
    "sftp": "apps.records.sources.files.FilesReader",
    "sql": "apps.records.sources.sql.SqlReader",
    "mongodb": "apps.records.sources.mongo.MongoReader",
    "openai": "apps.records.sources.openai.OpenAIReader",
    "lanying": "apps.records.sources.lanying.LanyingReader",
}
OWN_LOCATIONS = ("records", "archives", "account")  # always there; made by `migrate`
FRESH_SIGN_IN = "apps.accounts.access.fresh_authentication_required"  # above what only a recent sign-in may do
HANDLES_OF_IDENTITY = "apps.records.subjects.handles_of"  # who is known by a value, for the log
STILL_ERASED = "apps.requests.still_erased.StillErased"  # in a place: whom no source may bring in from there
KINDS_OF_IDENTITY = "apps.records.subjects.kinds_in_use"  # by which somebody is known
HANDLE_OF_REFERENCE = "apps.requests.selectors.handle_of"  # of a request, for the auditors' pages
LOCATION_ROOTS = env.folders("LOCATION_ROOTS")  # below these, and nowhere else on this machine, may a place be
LOCATION_MACHINE_ACCOUNT = env.flag(
    "LOCATION_MACHINE_ACCOUNT", False
)  # may a Google place without a key use this machine's
ERASURE_HORIZON_DAYS = env.number("ERASURE_HORIZON_DAYS", 30)  # so long may an erased copy stay somewhere
LOCATION_POLICY = env.choice("LOCATION_POLICY", "refuse", ("refuse", "warn"))  # a place in which it stays longer

# Work in the background
CELERY_BROKER_URL = env.text("CELERY_BROKER_URL", "filesystem://")
CELERY_BROKER_TRANSPORT_OPTIONS = env.broker_options("CELERY_BROKER_URL", CELERY_BROKER_URL, DATA_DIR / "broker")
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_TIME_LIMIT = 300  # < STEP_LEASE_SECONDS < visibility timeout
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
STEP_LEASE_SECONDS = 600
STEP_TURN_SECONDS = 60  # of work in one place: then another step has its turn
STEP_BATCH_SECONDS = 60  # the longest unit of work, and so the longest that a key stays in memory
CELERY_BEAT_SCHEDULE_FILENAME = str(DATA_DIR / "celerybeat-schedule")
CELERY_BEAT_SCHEDULE = {
    "reconcile": {"task": "apps.requests.tasks.reconcile", "schedule": 30.0},
    "send-letters": {"task": "apps.mail.tasks.send_due_letters", "schedule": 30.0},
    "sequence": {"task": "apps.audit.tasks.sequence_entries", "schedule": 5.0},
    "anchor": {"task": "apps.audit.tasks.anchor_checkpoints", "schedule": 60.0},
    "nightly": {"task": "apps.requests.tasks.nightly", "schedule": 3600.0},
    "imports": {"task": "apps.records.tasks.resume_imports", "schedule": 30.0},
    "records": {"task": "apps.records.tasks.nightly", "schedule": 3600.0},
    "copies": {"task": "apps.records.tasks.run_due_copies", "schedule": 60.0},
    "sources": {"task": "apps.records.tasks.run_due_sources", "schedule": 60.0},
    "sweep": {"task": "apps.records.tasks.sweep", "schedule": 3600.0},
    "master-keys": {"task": "apps.keys.tasks.tend_master_keys", "schedule": 3600.0},
    "blind-indexes": {"task": "apps.records.tasks.finish_rotations", "schedule": 3600.0},
    "purge-letters": {"task": "apps.mail.tasks.purge_letters", "schedule": 3600.0},
    "purge-sessions": {"task": "apps.accounts.tasks.purge_sessions", "schedule": 3600.0},
}

# Sign-in
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "portal:privacy"
ACCOUNT_LOGOUT_REDIRECT_URL = "portal:home"
ACCOUNT_ADAPTER = "apps.accounts.adapter.AccountAdapter"
MFA_ADAPTER = "apps.accounts.adapter.MfaAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_CONFIRM_EMAIL_ON_GET = False
ACCOUNT_PREVENT_ENUMERATION = "strict"
ACCOUNT_REAUTHENTICATION_TIMEOUT = 600
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = False
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes", "webauthn"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = ORGANISATION_NAME
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not _https
ACCOUNT_LOGIN_BY_CODE_REQUIRED = False  # AccountAdapter.is_login_by_code_required decides for each person
ACCOUNT_LOGIN_BY_CODE_TIMEOUT = 600
ACCOUNT_LOGIN_BY_CODE_SUPPORTS_RESEND = True
PASSWORD_RESET_TIMEOUT = 3600
_forms = "apps.accounts.forms"
ACCOUNT_FORMS = {
    "login": f"{_forms}.LoginForm",
    "signup": f"{_forms}.SignupForm",
    "add_email": f"{_forms}.AddEmailForm",
    "reset_password": f"{_forms}.ResetPasswordForm",
    "reset_password_from_key": f"{_forms}.ResetPasswordKeyForm",
    "change_password": f"{_forms}.ChangePasswordForm",
    "reauthenticate": f"{_forms}.ReauthenticateForm",
    "confirm_login_code": f"{_forms}.ConfirmLoginCodeForm",
}
MFA_FORMS = {
    "authenticate": f"{_forms}.AuthenticateForm",
    "reauthenticate": f"{_forms}.ReauthenticateWithCodeForm",
    "activate_totp": f"{_forms}.ActivateTOTPForm",
    "authenticate_webauthn": f"{_forms}.AuthenticateWebAuthnForm",
    "login_webauthn": f"{_forms}.LoginWebAuthnForm",
    "reauthenticate_webauthn": f"{_forms}.ReauthenticateWebAuthnForm",
    "add_webauthn": f"{_forms}.AddWebAuthnForm",
    "edit_webauthn": f"{_forms}.EditWebAuthnForm",
}
# People come over Tor, many behind one address: what bites counts by account ("user") or by address given ("key").
ACCOUNT_RATE_LIMITS = {
    "login": "300/m/ip",
    "login_failed": "300/m/ip,5/5m/key",
    "sign_in": "20/h/user",
    "signup": "60/m/ip",
    "reset_password": "60/m/ip,5/h/key",
    "reset_password_from_key": "300/m/ip",
    "reset_link": "30/h/key",
    "confirm_link": "30/h/key",
    "intake": "60/m/ip,5/h/key",  # each sends a letter to the address given
    "reauthenticate": "10/m/user",
    "change_password": "5/m/user",
    "manage_email": "10/m/user",
}
MFA_RATE_LIMITS = {"webauthn_login": "300/m/ip"}  # nothing to guess; asking for a challenge counts as well
ALLAUTH_TRUSTED_PROXY_COUNT = 1 if env.flag("BEHIND_PROXY", False) else 0

SESSION_ENGINE = "apps.accounts.sessions"
SESSION_COOKIE_AGE = 14 * 24 * 3600
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _https
SECURE_SSL_REDIRECT = env.flag("SECURE_SSL_REDIRECT", _https)
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_HSTS_SECONDS = 31536000 if _https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = _https
SECURE_REFERRER_POLICY = "same-origin"  # with "no-referrer" browsers send "Origin: null", which the CSRF check refuses
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env.flag("BEHIND_PROXY", False) else None
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024
FILE_UPLOAD_HANDLERS = [  # what does not fit into memory goes into a file without a name: no kill leaves one behind
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "apps.records.uploads.UnlinkedUploadHandler",
]

CACHES = env.cache("CACHE_URL", "locmem://")

# Mail: EMAIL_URL=smtp://user:password@host:587?tls=1, or a folder of this machine (sample site).
EMAIL_BACKEND, EMAIL_SETTINGS = env.email("EMAIL_URL", f"folder://{DATA_DIR / 'mailbox'}")
EMAIL_HOST = EMAIL_SETTINGS.get("host", "")
EMAIL_PORT = EMAIL_SETTINGS.get("port", 25)
EMAIL_HOST_USER = EMAIL_SETTINGS.get("user", "")
EMAIL_HOST_PASSWORD = EMAIL_SETTINGS.get("password", "")
EMAIL_USE_TLS = EMAIL_SETTINGS.get("tls", False)
EMAIL_USE_SSL = EMAIL_SETTINGS.get("ssl", False)
EMAIL_FILE_PATH = EMAIL_SETTINGS.get("folder")
EMAIL_TIMEOUT = 20
DEFAULT_FROM_EMAIL = env.address("FROM_EMAIL", PRIVACY_CONTACT)

# Requests: the operator's policy
ERASURE_COOLING_OFF_DAYS = env.number("ERASURE_COOLING_OFF_DAYS", 3)
SECOND_APPROVER_ABOVE_CONVERSATIONS = env.number("SECOND_APPROVER_ABOVE_CONVERSATIONS", 0)
AUTOMATIC_ACCESS_APPROVAL = env.flag("AUTOMATIC_ACCESS_APPROVAL", True)
ARCHIVE_LIFETIME_DAYS = env.number("ARCHIVE_LIFETIME_DAYS", 14, least=1)
RETENTION_DAYS = env.number("RETENTION_DAYS", 730)  # of a conversation after its last message; 0: kept until erased
SUPPRESSION_DAYS = env.number(
    "SUPPRESSION_DAYS", 0
)  # after an erasure others may not bring the person in again; 0: off
REQUEST_RETENTION_MONTHS = env.number("REQUEST_RETENTION_MONTHS", 24, least=24)  # 11 CCR 7101: at least 24 months
DEFAULT_REGIME = env.choice("DEFAULT_REGIME", "gdpr", ("gdpr", "ccpa"))  # those of apps/requests/regimes.py
HOLIDAYS_COUNTRY = env.country("HOLIDAYS_COUNTRY", "DE")

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
LOCALE_PATHS = [BASE_DIR / "locale"]
FORMAT_MODULE_PATH = ["apps.portal.formats"]  # dates in words
TIME_ZONE = env.time_zone("TIME_ZONE", "UTC")
USE_I18N = True
USE_TZ = True

UNFOLD = {
    "SITE_TITLE": f"{ORGANISATION_NAME} privacy",
    "SITE_HEADER": _("Privacy requests"),
    "SITE_ICON": "apps.requests.dashboard.icon",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/png", "href": "apps.requests.dashboard.icon"}],
    "STYLES": ["apps.requests.dashboard.stylesheet"],
    "SIDEBAR": {"navigation": "apps.requests.dashboard.navigation"},
    "DASHBOARD_CALLBACK": "apps.requests.dashboard.dashboard",
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "COLORS": COLOURS,
}

LOGGING = logs.configuration(env.choice("LOG_LEVEL", "INFO", env.LEVELS))  # no personal data in them
