"""Part: a range of keys of one export's dataset, rendered by one worker at a time."""

from __future__ import annotations

from typing import ClassVar, Self

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from durable.clock import Now
from durable.fields import UserForeignKey
from durable.models import Work, WorkQuerySet
from exports.conf import export_settings
from exports.models.export import Export
from exports.states import PartState


class PartQuerySet(WorkQuerySet["Part"]):
    """Named queries for parts."""

    def unfinished(self) -> Self:
        return self.exclude(state=PartState.DONE)

    def cancel_waiting(self) -> int:
        """Close parts that are neither finished nor failed, even if a worker holds them. Return their number."""
        waiting = self.filter(state=PartState.WAITING)
        return waiting.update(state=PartState.CANCELLED, next_attempt_at=None, lease_until=None)

    def render_again(self, attempts: int, **fields: object) -> int:
        """Reopen closed parts with `attempts` new attempts, and forget their files. Return the number reopened."""
        fresh = {"state": PartState.WAITING, "published_at": None, "rows_done": 0, "artifact": ""}
        return self.reopen(attempts, **(fresh | fields))

    def in_flight(self) -> Self:
        """Published recently, or published and held by a worker: the parts that the window counts."""
        published = self.open().filter(published_at__isnull=False)
        return published.filter(Q(lease_until__gt=Now()) | Q(published_at__gt=self.publication_lost_before()))

    def waiting(self) -> Self:
        """Due, and neither held nor published: the candidates of the window."""
        return self.due().unpublished()


class Part(Work):
    """A range of keys of one export's dataset; `rows` is 0, and the keys are empty, when the export has no rows."""

    # Its index comes with the constraint below.
    export = models.ForeignKey(Export, on_delete=models.CASCADE, related_name="parts", db_index=False)
    owner = UserForeignKey()
    index = models.PositiveIntegerField()
    content = models.PositiveSmallIntegerField(
        default=0, db_default=0, help_text=_("Which of the export's files it is a part of.")
    )
    first_key = models.TextField(blank=True, default="")
    last_key = models.TextField(blank=True, default="")
    rows = models.PositiveBigIntegerField(default=0, help_text=_("Rows counted at planning."))
    rows_done = models.PositiveBigIntegerField(default=0)
    pages = models.PositiveIntegerField(null=True, blank=True)
    meta = models.JSONField(
        default=dict, db_default={}, blank=True, editable=False, help_text=_("What joining the parts needs.")
    )
    state = models.CharField(max_length=12, choices=PartState.choices, default=PartState.WAITING)
    artifact = models.CharField(max_length=255, blank=True, default="")
    size = models.PositiveBigIntegerField(null=True, blank=True)
    sha256 = models.CharField(max_length=64, blank=True, default="")
    error_code = models.CharField(max_length=40, blank=True, default="")
    error_message = models.TextField(blank=True, default="")
    error_detail = models.TextField(
        blank=True, default="", db_default="", help_text=_("The cause, for operators; the owner does not see it.")
    )

    objects: ClassVar[PartQuerySet] = PartQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("part")
        ordering: ClassVar = ["export", "index"]
        indexes: ClassVar = [
            models.Index(fields=["export", "index"], name="part_open", condition=Q(next_attempt_at__isnull=False)),
            models.Index(fields=["lease_until"], name="part_held", condition=Q(lease_until__isnull=False)),
            models.Index(fields=["published_at"], name="part_published", condition=Q(next_attempt_at__isnull=False)),
            models.Index(
                fields=["export", "index"],
                name="part_last_attempt",
                condition=Q(next_attempt_at__isnull=False, attempt__gte=F("attempt_limit")),
            ),
            models.Index(fields=["artifact"], name="part_file", condition=Q(state=PartState.DONE)),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["export", "index"], name="part_index_once"),
            models.CheckConstraint(condition=Q(state__in=PartState.values), name="part_state_known"),
            models.CheckConstraint(
                condition=Q(state=PartState.DONE, sha256__gt="", size__isnull=False)
                | (~Q(state=PartState.DONE) & Q(artifact="")),
                name="part_done_has_artifact",
            ),
            models.CheckConstraint(
                condition=Q(state=PartState.FAILED, error_code__gt="") | ~Q(state=PartState.FAILED),
                name="part_failed_has_error",
            ),
            models.CheckConstraint(
                condition=Q(state=PartState.WAITING, next_attempt_at__isnull=False)
                | (~Q(state=PartState.WAITING) & Q(next_attempt_at__isnull=True)),
                name="part_waiting_has_next_attempt",
            ),
        ]

    def __str__(self) -> str:
        return f"part {self.index} of export {self.export_id}"

    def hint(self) -> str:
        return "exports.tasks.render_small_part" if self.export.is_small else "exports.tasks.render_part"

    def log_fields(self) -> dict[str, str]:
        return self.export.log_fields()

    @classmethod
    def attempts_given(cls) -> int:
        return export_settings().max_attempts
