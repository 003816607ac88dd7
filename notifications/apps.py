from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    name = "notifications"
    verbose_name = "Notifications"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from notifications import channels, checks, wiring  # noqa: F401 - they import models, which are not loaded before

        channels.load()
        wiring.connect()
