"""Seed data of a site under faults: shops of different sizes, notification preferences and a schedule."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from exports.demo.models import Customer
from exports.demo.seeding import fill
from exports.demo.trade import Account
from notifications.models import Preference, Webhook
from tests.chaos.people import PASSWORD, email
from tests.chaos.plan import SHOPS
from tests.chaos.tasks import SCHEDULE

ALSO_BY_FILE = range(0, len(SHOPS), 3)
"""Owners who also receive notifications through the file sink."""


def prepare(slot_seconds: int, hooks: str) -> None:
    """Fill the database of an empty site. Its schedule has a slot every `slot_seconds`; its webhook goes to `hooks`."""
    Webhook.objects.create(url=hooks)
    password, end = make_password(PASSWORD), timezone.now() - timedelta(hours=1)
    for owner, rows in enumerate(SHOPS):
        account = Account(
            email=email(owner),
            company=f"Shop {owner}",
            country="DE",
            time_zone="Europe/Berlin",
            currency="EUR",
            numbers=range(owner * 100_000 + 1, owner * 100_000 + rows + 1),
        )
        user = User.objects.create(username=account.email, email=account.email, password=password)
        Customer.objects.create(user=user, company=account.company, country="DE", time_zone=account.time_zone)
        fill(account, user, end - timedelta(days=60), end)
        if owner in ALSO_BY_FILE:
            Preference.objects.create(user=user, kind="export_ready", channel="file", enabled=True)
    every, _ = IntervalSchedule.objects.get_or_create(every=slot_seconds, period=IntervalSchedule.SECONDS)
    PeriodicTask.objects.filter(task=SCHEDULE.task).update(crontab=None, interval=every)
