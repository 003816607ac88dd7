"""Quiet hours: the time of day in which some channels do not disturb a user."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.contrib.auth.base_user import AbstractBaseUser

from durable import clock
from notifications.conf import notification_settings
from notifications.models import QuietHours


def seconds_left(user: AbstractBaseUser, now: datetime | None = None) -> float:
    """Return the seconds until the user's quiet hours end, in their time zone, or 0.0 outside of them."""
    hours = QuietHours.objects.filter(user_id=user.pk).first()
    if hours is None:
        return 0.0
    local = (now or clock.now()).astimezone(notification_settings().zone_of(user))
    if not hours.include(local.time()):
        return 0.0
    end = datetime.combine(local.date(), hours.end, local.tzinfo)
    if hours.end <= local.time():
        end = datetime.combine(local.date() + timedelta(days=1), hours.end, local.tzinfo)
    return (end.astimezone(UTC) - local.astimezone(UTC)).total_seconds()
