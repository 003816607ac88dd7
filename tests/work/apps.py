from pathlib import Path

from django.apps import AppConfig
from django.conf import settings


class WorkConfig(AppConfig):
    """Models for the tests of durable/. It has no migrations: the test database creates its tables.

    In a whole site under test, it also installs the kill points and the storage faults that the settings enable.
    """

    name = "tests.work"
    label = "work"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        if settings.KILL_POINTS:
            from tests.support import points

            points.install(Path(settings.KILL_POINTS))
        if settings.FAULTY_STORAGE:
            from tests.support import storages

            storages.install()
