"""Scheduled work: the slots of schedules, and the weekly usage report that one of the schedules makes."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from durable.fields import UTCDateTimeField
from durable.models import Work, WorkQuerySet


class Slot(Work):
    """One run of a schedule. Its row comes first, so that two Beats or a missed tick neither repeat nor skip it."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")

    schedule = models.CharField(max_length=100)
    slot = UTCDateTimeField(help_text=_("The moment that the schedule names, or at which it was started by hand."))
    by_hand = models.CharField(
        max_length=64, blank=True, default="", db_default="", editable=False,
        help_text=_("The id of the call that it was started by; empty when its schedule did."),
    )  # fmt: skip
    state = models.CharField(max_length=12, choices=State.choices, default=State.WAITING)
    outcome = models.JSONField(default=dict, blank=True)
    finished_at = UTCDateTimeField(null=True, blank=True)

    objects: ClassVar[WorkQuerySet[Slot]] = WorkQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("schedule slot")
        indexes: ClassVar = [
            models.Index(fields=["next_attempt_at"], name="slot_due", condition=Q(next_attempt_at__isnull=False)),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["schedule", "slot"], name="slot_once", condition=Q(by_hand="")),
            models.UniqueConstraint(
                fields=["schedule", "by_hand"], name="slot_by_hand_once", condition=Q(by_hand__gt="")
            ),
            models.CheckConstraint(
                condition=Q(state="waiting", next_attempt_at__isnull=False, finished_at__isnull=True)
                | (~Q(state="waiting") & Q(next_attempt_at__isnull=True, finished_at__isnull=False)),
                name="slot_waiting_has_next_attempt",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.schedule} at {self.slot:%Y-%m-%d %H:%M}"

    def hint(self) -> str:
        return "exports.tasks.run_slot"


class UsageReport(Work):
    """Usage and billing of one week: collected, rendered to PDF, sent to staff. Each step runs once, in this order."""

    class Stage(models.TextChoices):
        COLLECT = "collect", _("To collect")
        RENDER = "render", _("To render")
        SEND = "send", _("To send")
        SENT = "sent", _("Sent")
        FAILED = "failed", _("Failed")

    week = models.CharField(max_length=8, unique=True, help_text=_("ISO week, as 2026-W47."))
    start = UTCDateTimeField()
    end = UTCDateTimeField()
    stage = models.CharField(max_length=12, choices=Stage.choices, default=Stage.COLLECT)
    figures = models.JSONField(default=dict, blank=True)
    artifact = models.CharField(max_length=255, blank=True, default="")
    size = models.PositiveBigIntegerField(null=True, blank=True)
    sha256 = models.CharField(max_length=64, blank=True, default="")
    sent_at = UTCDateTimeField(null=True, blank=True)
    error_message = models.TextField(blank=True, default="")

    objects: ClassVar[WorkQuerySet[UsageReport]] = WorkQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("usage report")
        ordering: ClassVar = ["-start"]
        indexes: ClassVar = [
            models.Index(fields=["next_attempt_at"], name="report_due", condition=Q(next_attempt_at__isnull=False)),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(stage="sent", sent_at__isnull=False) | (~Q(stage="sent") & Q(sent_at__isnull=True)),
                name="report_sent_has_moment",
            ),
            models.CheckConstraint(
                condition=Q(stage__in=["send", "sent"], artifact__gt="", sha256__gt="", size__isnull=False)
                | ~Q(stage__in=["send", "sent"]),
                name="report_rendered_has_artifact",
            ),
            models.CheckConstraint(
                condition=Q(stage__in=["sent", "failed"], next_attempt_at__isnull=True)
                | (~Q(stage__in=["sent", "failed"]) & Q(next_attempt_at__isnull=False)),
                name="report_open_has_next_attempt",
            ),
        ]

    def __str__(self) -> str:
        return f"usage report {self.week}"

    def hint(self) -> str:
        return "exports.tasks.advance_report"
