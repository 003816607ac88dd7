"""The smallest settings of a site with leased work, from `startproject`. Nothing is said of Celery but the broker."""

import os
from pathlib import Path

BASE_DIR = Path(os.environ["HOST_DIR"])
SECRET_KEY = "of a test"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django_celery_beat",
    "django_celery_results",
    "durable",
    "notifications",
    "exports",
    "tests.work",
    "tests.hosts.own_tasks",
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": BASE_DIR / "db.sqlite3",
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20, "init_command": "PRAGMA journal_mode=WAL"},
    }
}
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "exports": {"BACKEND": "exports.storage.folder.ArtifactFolder", "OPTIONS": {"location": BASE_DIR / "artifacts"}},
}
CARRYALL = {"SITE_URL": "http://127.0.0.1:8000"}
CELERY_BROKER_URL = os.environ["REDIS_URL"]
KILL_POINTS = FAULTY_STORAGE = ""
ROOT_URLCONF = "exports.urls"
