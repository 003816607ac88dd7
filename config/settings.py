"""Django settings of the site, made from the typed environment (config/environment.py)."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from config import environment
from config.environment import BASE_DIR

ENVIRONMENT = environment.read()

DEMO = ENVIRONMENT.demo
DEBUG = ENVIRONMENT.debug
SECRET_KEY = ENVIRONMENT.secret_key
ALLOWED_HOSTS = ENVIRONMENT.allowed_hosts
CSRF_TRUSTED_ORIGINS = ENVIRONMENT.csrf_trusted_origins
SITE_URL = ENVIRONMENT.site_url
VAR_DIR: Path = ENVIRONMENT.var_dir

INSTALLED_APPS = [
    "config",  # its stylesheet, and its `shell` command
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
            ],
        },
    },
]

# --- Database. -------------------------------------------------------------------------------------------


SQLITE: dict[str, Any] = {
    # Measured with four writers: 73 of 100 deferred transactions fail with "database is locked", no immediate one.
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,  # seconds that a writer waits for another; a request that waits longer gets 503
    # FULL: a request that was accepted (202) must survive a power cut. NORMAL may lose it. Costs 0.2 ms a commit.
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-16000;",
}
POSTGRESQL: dict[str, Any] = {
    "connect_timeout": 5,  # libpq has no default: a dead machine or a frozen server would block a request
    # By default Linux notices a dead peer after two hours of waiting for an answer, and 15 minutes after sending.
    # Here it takes 25 s, which is less than a lease.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
"""Connection options of each database (docs/decisions/0015-every-wait-ends.md).

`options` is missing because poolers reject it; config/timeouts.py sets those values.
"""


def _database(parsed: dict[str, Any]) -> dict[str, Any]:
    """Return the DATABASES entry. Options in the URL (?timeout=5) take precedence. Other backends get no options."""
    usual = {"django.db.backends.sqlite3": SQLITE, "django.db.backends.postgresql": POSTGRESQL}
    options = usual.get(parsed["ENGINE"], {}) | parsed.get("OPTIONS", {})
    # A setting of Django, not of the driver, but in a URL both are parameters.
    parsed = parsed | {"DISABLE_SERVER_SIDE_CURSORS": options.pop("disable_server_side_cursors", False)}
    # The health check costs a query, and a file does not disconnect.
    checks = parsed["ENGINE"] != "django.db.backends.sqlite3"
    return parsed | {"OPTIONS": options, "CONN_HEALTH_CHECKS": checks, "CONN_MAX_AGE": 60}


DATABASES = {"default": _database(ENVIRONMENT.database)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Users. --------------------------------------------------------------------------------------------------------

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

# --- Files. Static files are public. Artifacts are private: only a view serves them. -------------------------------

STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": VAR_DIR / "media"}},
    # The demo is local, and compressing takes seconds at the first start.
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

# --- Security. --------------------------------------------------------------------------------------------------------

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = ENVIRONMENT.https
SECURE_SSL_REDIRECT = ENVIRONMENT.https
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if ENVIRONMENT.https else None
SECURE_HSTS_SECONDS = int(timedelta(days=365).total_seconds()) if ENVIRONMENT.https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = ENVIRONMENT.https
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]  # probes come from the local network, without TLS
SESSION_COOKIE_HTTPONLY = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {  # no external resources, no inline scripts or styles
    "EXCLUDE_URL_PREFIXES": [f"/{ADMIN_PATH}django_celery_beat/"],  # its form has an inline script
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    },
}

# --- Settings of the apps: docs/reference/settings.md lists the keys. -----------------------------------------

CARRYALL: dict[str, Any] = {
    "SITE_URL": SITE_URL,
    "SCRATCH_DIR": VAR_DIR / "scratch",
    "USER_TIME_ZONE": "exports.demo.people.time_zone" if DEMO else None,
    "WEBHOOKS_PER_USER": 5 if DEMO else 0,
    "VAPID_PRIVATE_KEY": ENVIRONMENT.vapid_private_key,
    "METRICS_TOKEN": ENVIRONMENT.metrics_token,
}

RATES_URL = ENVIRONMENT.rates_url

# --- Background work: see config/celeryconfig.py for queues, limits and transport options. --------------------------

BROKER_URL = ENVIRONMENT.broker_url
HEARTBEAT_FILE = ENVIRONMENT.heartbeat_file
DJANGO_CELERY_BEAT_TZ_AWARE = True
DJANGO_CELERY_RESULTS_TASK_ID_MAX_LENGTH = 191

# --- Log: one line for each event, in the same form from every process. ---------------------------------------------

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"fields": {"()": "durable.log_fields.LogFields"}},
    "formatters": {
        "json": {"()": "config.logs.JsonFormatter", "process": ENVIRONMENT.process_name},
        "text": {
            "()": "config.logs.LineFormatter",
            "fmt": f"%(asctime)s %(levelname)-7s {ENVIRONMENT.process_name:<11} %(name)s: %(message)s",
            "defaults": {"export": "-"},  # for a `fmt` with %(export)s
        },
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": ENVIRONMENT.log_format,
            "filters": ["fields"],
        }
    },
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        "django": {"handlers": ["console"], "level": "INFO", "propagate": False},
        "django.server": {"handlers": ["console"], "level": "INFO", "propagate": False},
        "weasyprint": {"level": "ERROR"},
        "fontTools": {"level": "WARNING"},
        "httpx": {"level": "WARNING"},
        "kombu": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
    },
}
