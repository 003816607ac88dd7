"""Django's settings: one typed environment in, the whole site out. Nothing else of the site reads the environment."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import django_stubs_ext

from config import environment
from config.environment import BASE_DIR
from config.queues import WINDOW

django_stubs_ext.monkeypatch()

ENVIRONMENT = environment.read()

DEMO = ENVIRONMENT.demo
DEBUG = ENVIRONMENT.debug
SECRET_KEY = ENVIRONMENT.secret_key
ALLOWED_HOSTS = ENVIRONMENT.allowed_hosts
CSRF_TRUSTED_ORIGINS = ENVIRONMENT.csrf_trusted_origins
SITE_URL = ENVIRONMENT.site_url
VAR_DIR: Path = ENVIRONMENT.var_dir

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_celery_beat",
    "django_celery_results",
    "django_htmx",
    "csp",
    "durable",
    "notifications",
    "exports",
    *(["exports.demo"] if DEMO else []),
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "config.middleware.user_time_zone",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "config.urls"
ADMIN_PATH = "admin/"
WSGI_APPLICATION = "config.wsgi.application"
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
                "notifications.context.bell",
            ],
        },
    },
]

# --- Database: the truth. -------------------------------------------------------------------------------------------


SQLITE: dict[str, Any] = {
    # Measured with four writers: deferred transactions end in "database is locked" 73 times of 100, immediate never.
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,  # a writer waits so long for another one; a click that waits longer is told 503
    # FULL: what was answered 202 must outlive a failing machine. NORMAL may lose it; the flush costs 0.2 ms a commit.
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-16000;",
}
POSTGRESQL: dict[str, Any] = {
    "connect_timeout": 5,  # libpq's own is none: a machine that is gone, or a server that is frozen, holds a click
    # A machine that has vanished says no goodbye: Linux would notice after two hours while we wait for its answer,
    # and after a quarter of an hour when we have sent. Both in 25 s, which is less than a lease.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
"""What each database's connections are opened with; docs/decisions/0015-every-wait-ends.md has the reasons.

Not `options`, which poolers refuse: config/timeouts.py sets what would stand there.
"""


def _database(parsed: dict[str, Any]) -> dict[str, Any]:
    """The database's entry. What its URL says of an option (?timeout=5) stands; another backend is left as it is."""
    usual = {"django.db.backends.sqlite3": SQLITE, "django.db.backends.postgresql": POSTGRESQL}
    options = usual.get(parsed["ENGINE"], {}) | parsed.get("OPTIONS", {})
    # Django's own setting; a URL has no other place for it than beside the driver's options.
    parsed = parsed | {"DISABLE_SERVER_SIDE_CURSORS": options.pop("disable_server_side_cursors", False)}
    # Asking whether a connection lives costs a query: a file does not go away.
    checks = parsed["ENGINE"] != "django.db.backends.sqlite3"
    return parsed | {"OPTIONS": options, "CONN_HEALTH_CHECKS": checks, "CONN_MAX_AGE": 60}


DATABASES = {"default": _database(ENVIRONMENT.database)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- People. --------------------------------------------------------------------------------------------------------

AUTHENTICATION_BACKENDS = ["config.auth.RefuseDemoPassword", "django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "exports:list"
LOGOUT_REDIRECT_URL = "login"

LANGUAGE_CODE = "en-gb"
TIME_ZONE = ENVIRONMENT.time_zone
USE_I18N = True
USE_TZ = True

# --- Files. Static ones are public; artifacts are private: in no served folder, given out by a view alone. ----------

STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": VAR_DIR / "media"}},
    # On this machine alone nobody waits for bytes, and compressing a first time costs seconds.
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"
        if DEMO
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
    "exports": ENVIRONMENT.artifacts,
}

# --- Mail. ----------------------------------------------------------------------------------------------------------

EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
for _name, _value in ENVIRONMENT.email.items():
    globals()[_name] = _value
DEFAULT_FROM_EMAIL = ENVIRONMENT.default_from_email

# --- Safety. --------------------------------------------------------------------------------------------------------

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = ENVIRONMENT.https
SECURE_SSL_REDIRECT = ENVIRONMENT.https
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if ENVIRONMENT.https else None
SECURE_HSTS_SECONDS = int(timedelta(days=365).total_seconds()) if ENVIRONMENT.https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = ENVIRONMENT.https
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]  # probes come from inside, without TLS
SESSION_COOKIE_HTTPONLY = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {  # pages load nothing from elsewhere, and run and style nothing that stands in a page
    "EXCLUDE_URL_PREFIXES": [f"/{ADMIN_PATH}django_celery_beat/"],  # its form has a script of its own in the page
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    },
}

# --- The apps' own settings: every key and its default stands in the app's conf.py. -------------------------------

DURABLE: dict[str, Any] = {"SEND_HINT": "durable.celery.hints.send"}
EXPORTS: dict[str, Any] = {
    "SCRATCH_DIR": VAR_DIR / "scratch",
    "USER_TIME_ZONE": "exports.demo.people.time_zone" if DEMO else None,
    "WINDOW": WINDOW,
}
NOTIFICATIONS: dict[str, Any] = {"SITE_URL": SITE_URL}

# --- Background work: queues, limits and transport options stand in config/celeryconfig.py, each with its reason. ----

REDIS_URL = ENVIRONMENT.redis_url
DJANGO_CELERY_BEAT_TZ_AWARE = True
DJANGO_CELERY_RESULTS_TASK_ID_MAX_LENGTH = 191

# --- Log: one line an event, the same form from every process. ----------------------------------------------------

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "config.logs.LineFormatter",
            "fmt": f"%(asctime)s %(levelname)-7s {ENVIRONMENT.process_name:<11} %(name)s: %(message)s",
        },
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        "django": {"handlers": ["console"], "level": "INFO", "propagate": False},
        "django.server": {"handlers": ["console"], "level": "INFO", "propagate": False},
        "weasyprint": {"level": "ERROR"},
        "fontTools": {"level": "WARNING"},
        "kombu": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
    },
}
