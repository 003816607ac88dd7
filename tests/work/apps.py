from pathlib import Path

from django.apps import AppConfig
from django.conf import settings


class WorkConfig(AppConfig):
    """Leased work without any meaning, for the tests of durable/. No migrations: the test database makes its table.

    It also puts the points at which a process may kill itself, and faults of its disks, into a whole site under test.
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
