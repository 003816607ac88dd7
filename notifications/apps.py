from django.apps import AppConfig
from django.db.models import Q


class NotificationsConfig(AppConfig):
    name = "notifications"
    verbose_name = "Notifications"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # These import models, which are loaded only now.
        from durable import sweep
        from notifications import channels, checks, delivery, summaries, tasks, webhooks  # noqa: F401
        from notifications.kinds import DAILY
        from notifications.models import Delivery

        channels.load()
        sweep.register(sweep.SweptModel(Delivery, park=delivery.park, publishes=~Q(channel=DAILY)))
        sweep.register_chore("daily summaries", summaries.send_due)
        sweep.register_chore("ended webhooks announced", webhooks.announce_ended)
