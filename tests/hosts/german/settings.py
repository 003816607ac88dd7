"""Settings of the host: what a site has before it installs the apps, and the lines that it adds."""

import os
from pathlib import Path

FOLDER = Path(os.environ.get("HOST_DIR", "/nonexistent"))
BASE_DIR = Path(__file__).parent
SECRET_KEY = "host"
DEBUG = True
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "exports.demo",  # some data to export
]
MIDDLEWARE = [
    "tests.hosts.german.middleware.strict_security_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
ROOT_URLCONF = "tests.hosts.german.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["tests.hosts.german.middleware.options"]},
    }
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": FOLDER / "db.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOGIN_URL = "/anmelden/"
LOGIN_REDIRECT_URL = "/"
LANGUAGE_CODE = "de"
TIME_ZONE = "Europe/Vienna"
USE_TZ = True
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# --- what it adds -----------------------------------------------------------------------------------------------------

INSTALLED_APPS += [
    "django_celery_beat",
    "django_celery_results",
    "django_htmx",
    "durable",
    "notifications",
    "exports",
]
CARRYALL = {"SITE_URL": "https://laden.example", "SCRATCH_DIR": FOLDER / "scratch", "SEND_HINT": None}
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "exports": {
        "BACKEND": "exports.storage.folder.ArtifactFolder",
        "OPTIONS": {"location": FOLDER / "artifacts"},
    },
}
