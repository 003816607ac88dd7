"""A project as `django-admin startproject` makes it, with an unusual user model and Carryall."""

import os
import tempfile
from pathlib import Path

BASE_DIR = Path(os.environ.get("BASE_DIR") or tempfile.mkdtemp(prefix="carryall-minimal-"))
SECRET_KEY = "a key for tests alone, which nothing else uses"
DEBUG = False
ALLOWED_HOSTS = ["shop.example"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "tests.hosts.minimal.people",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "tests.hosts.minimal.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "templates"],
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
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": BASE_DIR / "db.sqlite3",
        "TEST": {"NAME": BASE_DIR / "test.sqlite3"},  # a file, as on a real site: the threads of a lease share it
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "people.Person"
USE_TZ = True
STATIC_URL = "static/"

INSTALLED_APPS += ["django_celery_beat", "django_celery_results", "django_htmx", "durable", "notifications", "exports"]
CARRYALL = {"SITE_URL": "https://shop.example"}
