"""Registration of the exports app with the sweep, the schedules and the notifications, when Django starts."""

from datetime import timedelta

from celery.signals import beat_embedded_init, beat_init
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from durable import sweep
from durable.sweep import SweptModel
from exports.models import Export, Part, Slot, UsageReport
from exports.pipeline import failure, window
from exports.states import State
from exports.storage import artifacts
from exports.upkeep import purge, reminders, schedules, usage_report
from exports.upkeep.schedules import Schedule
from notifications.api import offer_attachments


def connect() -> None:
    """Register with the sweep, the schedules and the notifications. Idempotent."""
    offer_attachments(artifacts.storage)
    sweep.register(SweptModel(Export, park=failure.park, publishes=~Q(state=State.QUEUED)))
    sweep.register(SweptModel(Part, park=failure.park, publishes=None))
    sweep.register(SweptModel(Slot, park=schedules.park))
    sweep.register(SweptModel(UsageReport, park=usage_report.park))
    sweep.register_chore("exports to assemble", window.finish_all_rendering)
    sweep.register_chore("plans published", window.fill_plans)
    sweep.register_chore("parts published", window.fill_window)
    sweep.register_chore("missed slots", schedules.open_missed_slots)
    for schedule in SCHEDULES:
        schedules.register(schedule)
    beat_init.connect(schedules.mark_ticks)
    beat_embedded_init.connect(schedules.mark_ticks)


SCHEDULES = (
    Schedule(
        task="exports.tasks.purge_expired_exports",
        name="Nightly purge",
        description="Removes the files of expired exports, leftovers of failed exports, and orphaned files.",
        run=purge.purge,
        labels={
            "expired": _("expired exports removed"),
            "abandoned": _("parts of failed exports removed"),
            "orphans": _("orphaned files removed"),
            "unfinished": _("unfinished uploads removed"),
            "scratch": _("old scratch files removed"),
            "forgotten": _("old exports deleted"),
            "ownerless": _("users no longer found, rows deleted"),
        },
        minute="0",
        hour="3",
    ),
    Schedule(
        task="exports.tasks.make_weekly_report",
        name="Weekly usage report",
        description="Sends the staff a PDF with last week's exports, rows, bytes and worker seconds per customer.",
        run=usage_report.open_last_week,
        labels={"week": _("week"), "report": _("report")},
        minute="0",
        hour="6",
        day_of_week="1",
        deadline=timedelta(hours=24),
    ),
    Schedule(
        task="exports.tasks.remind_of_expiring_exports",
        name="Reminder of expiring files",
        description="Reminds owners of files that expire soon and were never downloaded.",
        run=reminders.remind,
        labels={"reminded": _("owners reminded")},
        deadline=timedelta(minutes=10),
    ),
    Schedule(
        task="exports.tasks.clean_up_results",
        name="Clean-up of results",
        description="Deletes old task results and schedule slots in batches.",
        run=purge.clean_up_results,
        labels={
            "results": _("task results deleted"),
            "groups": _("group results deleted"),
            "slots": _("schedule slots deleted"),
        },
        minute="30",
        hour="3",
    ),
)
