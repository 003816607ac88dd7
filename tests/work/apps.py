from django.apps import AppConfig


class WorkConfig(AppConfig):
    """Leased work without any meaning, for the tests of durable/. No migrations: the test database makes its table."""

    name = "tests.work"
    label = "work"
    default_auto_field = "django.db.models.BigAutoField"
