from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    name = "notifications"
    verbose_name = "Notifications"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # These import models, which are loaded only now.
        from durable import sweep
        from notifications import channels, checks, delivery, tasks, webhooks  # noqa: F401
        from notifications.models import Delivery

        channels.load()
        sweep.register(sweep.SweptModel(Delivery, park=delivery.park))
        sweep.register_chore("ended webhooks announced", webhooks.announce_ended)
