"""The daily summary: one e-mail a day with everything since the last one. `notifications.summaries` sends it."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING

from django.contrib.auth.base_user import AbstractBaseUser
from django.utils.translation import gettext_lazy as _

from durable import clock
from notifications.channels.base import Channel, channels, unreachable_by_mail
from notifications.conf import notification_settings
from notifications.errors import DeliveryError
from notifications.kinds import DAILY

if TYPE_CHECKING:
    from notifications.models import Delivery


@channels.register
class Daily(Channel):
    key = DAILY
    label = _("In a daily mail")
    paced = False

    def offered(self, user: AbstractBaseUser) -> bool:
        return bool(notification_settings().daily_summary_at)

    def targets(self, user: AbstractBaseUser) -> tuple[str, ...]:
        return ("",) if self.offered(user) else ()

    def unreachable(self, user: AbstractBaseUser) -> str:
        return unreachable_by_mail(user)

    def due_at(self, user: AbstractBaseUser) -> datetime:
        return next_summary(user)

    def deliver(self, delivery: Delivery) -> None:
        raise DeliveryError("It is sent with the next daily summary.", permanent=False, code="collected")


def next_summary(user: AbstractBaseUser, now: datetime | None = None) -> datetime:
    """Return when the next daily summary of this user is due: at the time of the setting, in the user's time zone."""
    at = time.fromisoformat(notification_settings().daily_summary_at)
    local = (now or clock.now()).astimezone(notification_settings().zone_of(user))
    day = local.date() + timedelta(days=int(local.time() >= at))
    return datetime.combine(day, at, local.tzinfo)
