from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    name = "notifications"
    verbose_name = "Notifications"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from notifications import channels, checks, wiring  # noqa: F401 - they import models, which exist only from here on

        channels.load()
        wiring.connect()
