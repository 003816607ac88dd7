"""Export: one request of one owner, and the resulting file."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, ClassVar, Self
from zoneinfo import ZoneInfo

from django.apps import apps
from django.db import models
from django.db.models import F, Func, Q
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from durable.clock import Now
from durable.databases import PrimaryQuerySet, atomic
from durable.fields import UserForeignKey, UTCDateTimeField
from durable.models import Work, WorkQuerySet
from exports.conf import export_settings
from exports.models.period import Period, PeriodChoice
from exports.models.selection import Selection
from exports.states import OPEN, RETRYABLE, State, sources

TELLING_ROWS = 1_000
"""Minimum rows of an export that rates are measured on. In smaller ones, start-up takes most of the time."""


MAY_BE_PLANNED = [State.CANCELLED, State.QUEUED]
"""States of exports for which a planning message may be under way: cancelling does not withdraw it."""


def subject_model(owner: type[models.Model] | models.Model) -> str:
    """Return the text of a model, or of that of an instance, in `Export.subject_model`."""
    return owner._meta.label_lower


INDEXED = 200
START_OF_DATASET, REST_OF_DATASET = (
    Func("dataset", template=f"SUBSTR(%(expressions)s, {span})", output_field=models.TextField())
    for span in (f"1, {INDEXED}", f"{INDEXED + 1}")
)
"""The first letters of the datasets' keys, as indexed (an entry of an index must be short), and the others."""


@dataclass(frozen=True)
class Content:
    """One file of an export: a dataset in a format. `fields` are column names; empty means all columns."""

    dataset: str
    format: str
    fields: tuple[str, ...] = ()


class ExportQuerySet(WorkQuerySet["Export"]):
    """Named queries for exports."""

    def of(self, user_pk: Any) -> Self:
        return self.filter(owner_id=user_pk)

    def of_datasets(self, keys: str) -> Self:
        """Exports of exactly these datasets: comma-separated keys, in their order. Uses the index.

        SQLite would not use it with `dataset=keys`: it puts the known value into the expression.
        """
        halves = self.alias(start=START_OF_DATASET, rest=REST_OF_DATASET)
        return halves.filter(start=keys[:INDEXED], rest=keys[INDEXED:])

    def in_flight(self) -> Self:
        return self.filter(state__in=sorted(OPEN))  # as in the index, or SQLite does not use it

    def rendering(self) -> Self:
        return self.filter(state=State.RENDERING)

    def to_plan(self) -> Self:
        """Queued and due, with no planning message under way, oldest first: the candidates of the planning window."""
        return self.filter(state=State.QUEUED).due().unpublished().order_by("next_attempt_at", "pk")

    def plan_sent(self) -> Self:
        """Exports whose planning message the broker may still hold, including cancelled ones."""
        not_followed = Q(claimed_at__isnull=True) | Q(claimed_at__lt=F("published_at"))
        sent = self.filter(state__in=MAY_BE_PLANNED, published_at__gt=self.publication_lost_before())
        return sent.filter(not_followed)

    def plan_held(self) -> Self:
        """Exports that a worker is planning."""
        return self.filter(state=State.QUEUED, lease_until__gt=Now())

    def small(self) -> Self:
        return self.filter(rows__lte=export_settings().small_rows)

    def big(self) -> Self:
        """Exports that are not small, or of unknown size."""
        return self.exclude(rows__lte=export_settings().small_rows)

    def downloadable(self) -> Self:
        return self.filter(state=State.READY, expires_at__gt=Now())

    def past_expiry(self) -> Self:
        return self.filter(state=State.READY, expires_at__lte=Now())

    def move(self, target: State, **fields: object) -> int:
        """Move these exports to `target` if MOVES allows it. Return the number moved."""
        return self.filter(state__in=sources(target)).update(state=target, **fields)

    def expire(self, **fields: object) -> list[str]:
        """Move the one export of this query from READY to EXPIRED, and write `fields`.

        Return the storage keys of its files, for the caller to delete after the commit; empty if nothing was moved.
        """
        with atomic(Export):
            ready = self.filter(state=State.READY)
            found = list(ready.values_list("pk", "artifact")[:1])
            volumes = Volume.objects.filter(export__in=[pk for pk, _ in found])
            keys = [*(key for _, key in found), *volumes.values_list("artifact", flat=True)]
            if not ready.move(State.EXPIRED, artifact="", **fields):
                return []
            volumes.update(artifact="")
        return keys

    def recent_first(self) -> Self:
        return self.order_by("-requested_at", "-pk")


class Export(Work):
    """One request of one owner, for one dataset or a bundle of several, and the resulting file."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    owner = UserForeignKey(db_index=False)
    subject_model = models.CharField(
        max_length=100, blank=True, default="", db_default="", editable=False,
        help_text=_("The model of whose data it is, such as shop.company; empty for the owner's own data."),
    )  # fmt: skip
    subject_key = models.CharField(max_length=255, blank=True, default="", db_default="", editable=False)
    dataset = models.TextField(help_text=_("Its key; a bundle's, with commas between."))
    format = models.CharField(max_length=20)
    fields = models.JSONField(default=list, blank=True, help_text=_("Column names in order; empty means all of them."))
    options = models.JSONField(
        default=dict, db_default={}, blank=True, help_text=_("What was chosen of the format's options.")
    )
    params = models.JSONField(
        default=dict, db_default={}, blank=True, help_text=_("The chosen values of the datasets' parameters.")
    )
    inside = models.JSONField(
        default=list, db_default=[], blank=True, help_text=_("The formats of the files in a bundle.")
    )
    has_uploads = models.BooleanField(
        default=False, db_default=False, editable=False, help_text=_("A bundle that may hold files of its rows.")
    )
    layout = models.JSONField(
        default=list, db_default=[], blank=True, editable=False, help_text=_("For each file, what its parts agree on.")
    )
    language = models.CharField(
        max_length=35, blank=True, default="", db_default="", help_text=_("The owner's, at the click.")
    )
    period_choice = models.CharField(max_length=20, choices=PeriodChoice.choices)
    period_start = UTCDateTimeField(null=True, blank=True)
    period_end = UTCDateTimeField(null=True, blank=True)
    time_zone = models.CharField(max_length=63, default="UTC")
    fingerprint = models.CharField(max_length=64, editable=False, help_text=_("The same for the same choice."))

    state = models.CharField(max_length=12, choices=State.choices, default=State.QUEUED)
    requested_at = UTCDateTimeField(db_default=Now(), editable=False)
    started_at = UTCDateTimeField(null=True, blank=True)
    finished_at = UTCDateTimeField(null=True, blank=True)
    expires_at = UTCDateTimeField(null=True, blank=True)
    reminded_at = UTCDateTimeField(null=True, blank=True, editable=False)

    rows = models.PositiveBigIntegerField(null=True, blank=True, help_text=_("Rows in the period, known once planned."))
    pages = models.PositiveIntegerField(null=True, blank=True)
    artifact = models.CharField(max_length=255, blank=True, default="", help_text=_("Key of the file in the storage."))
    filename = models.CharField(max_length=200, blank=True, default="")
    size = models.PositiveBigIntegerField(null=True, blank=True)
    sha256 = models.CharField(max_length=64, blank=True, default="")
    error_code = models.CharField(max_length=40, blank=True, default="")
    error_message = models.TextField(blank=True, default="")
    error_detail = models.TextField(
        blank=True, default="", db_default="", help_text=_("The cause, for operators; the owner does not see it.")
    )

    objects: ClassVar[ExportQuerySet] = ExportQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("export")
        permissions: ClassVar = [("export_for_others", _("Can export the data of other users"))]
        indexes: ClassVar = [
            models.Index(fields=["owner", "-requested_at", "-id"], name="export_of_owner"),
            models.Index(
                fields=["subject_model", "subject_key", "-requested_at"],
                name="export_of_subject",
                condition=Q(subject_model__gt=""),
            ),
            models.Index(fields=["next_attempt_at"], name="export_due", condition=Q(next_attempt_at__isnull=False)),
            models.Index(fields=["lease_until"], name="export_held", condition=Q(lease_until__isnull=False)),
            models.Index(fields=["id"], name="export_rendering", condition=Q(state=State.RENDERING)),
            models.Index(fields=["published_at"], name="export_published", condition=Q(published_at__isnull=False)),
            models.Index(fields=["expires_at"], name="export_expiring", condition=Q(state=State.READY)),
            models.Index(fields=["artifact"], name="export_file", condition=Q(state=State.READY)),
            models.Index(fields=["finished_at"], name="export_finished"),
            models.Index(fields=["id"], name="export_failed", condition=Q(state=State.FAILED)),
            models.Index(
                START_OF_DATASET,
                "format",
                F("finished_at").desc(),
                name="export_rates",
                condition=Q(rows__gte=TELLING_ROWS),
            ),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["owner", "fingerprint"], condition=Q(state__in=sorted(OPEN)), name="export_once_in_flight"
            ),
            models.CheckConstraint(condition=Q(state__in=State.values), name="export_state_known"),
            models.CheckConstraint(
                condition=Q(
                    state=State.READY, artifact__gt="", sha256__gt="", size__isnull=False, expires_at__isnull=False
                )
                | (~Q(state=State.READY) & Q(artifact="")),
                name="export_ready_has_artifact",
            ),
            models.CheckConstraint(
                condition=Q(state=State.FAILED, error_code__gt="") | (~Q(state=State.FAILED) & Q(error_code="")),
                name="export_failed_has_error",
            ),
            models.CheckConstraint(
                condition=Q(state__in=sorted(OPEN), finished_at__isnull=True)
                | (~Q(state__in=sorted(OPEN)) & Q(finished_at__isnull=False)),
                name="export_final_is_finished",
            ),
            models.CheckConstraint(
                condition=Q(state__in=[State.QUEUED, State.ASSEMBLING], next_attempt_at__isnull=False)
                | (~Q(state__in=[State.QUEUED, State.ASSEMBLING]) & Q(next_attempt_at__isnull=True)),
                name="export_open_has_next_attempt",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.dataset} as {self.format} ({self.uuid})"

    def get_absolute_url(self) -> str:
        return reverse("exports:detail", args=[self.uuid])

    def hint(self) -> str:
        if self.state != State.ASSEMBLING:
            return "exports.tasks.plan_export"
        quick = self.is_small and not self.has_uploads  # few rows may have large files
        return "exports.tasks.assemble_small_export" if quick else "exports.tasks.assemble_export"

    def log_fields(self) -> dict[str, str]:
        return {"export": str(self.uuid)}

    @classmethod
    def attempts_given(cls) -> int:
        return export_settings().max_attempts

    @property
    def datasets(self) -> list[str]:
        """The keys of the datasets: one, or several in a bundle."""
        return self.dataset.split(",")

    @property
    def contents(self) -> list[Content]:
        """The files to write: one, or in a bundle one for each dataset and format.

        Planning adds the files of nested tables, whose datasets have keys such as "orders.lines".
        """
        kinds = self.inside or [self.format]
        planned = [(file["dataset"], file["format"]) for file in self.layout if "dataset" in file]
        files = planned or [(dataset, kind) for dataset in self.datasets for kind in kinds]
        return [Content(dataset, kind, self._fields_of(number)) for number, (dataset, kind) in enumerate(files)]

    def first_content(self, dataset: str) -> int:
        """Return the number of the first of the files of a dataset."""
        return next(number for number, content in enumerate(self.contents) if content.dataset == dataset)

    def _fields_of(self, number: int) -> tuple[str, ...]:
        """Return the columns found at planning, so that all parts have the same columns, or else the chosen ones."""
        planned = self.layout[number].get("columns", ()) if self.layout else ()
        return tuple(planned or self.fields)

    @property
    def tables(self) -> list[str]:
        """The keys of the datasets and of their nested tables, in order."""
        return list(dict.fromkeys(content.dataset for content in self.contents))

    @property
    def files(self) -> list[Export | Volume]:
        """The files to download, in order: the export itself, and the further volumes of a bundle."""
        return [self, *(self.volumes.all() if self.inside else ())]

    @property
    def total_size(self) -> int | None:
        """Bytes of all files together. Prefetch `volumes` for many exports."""
        return None if self.size is None else sum(file.size or 0 for file in self.files)

    @property
    def period(self) -> Period:
        return Period(self.period_start, self.period_end, self.requested_at, self.zone)

    @cached_property
    def data_owner(self) -> Any:
        """Whose data it is: the owner, the user or the team that the owner exports it for, or None if that is gone."""
        if not self.subject_model:
            return self.owner
        try:
            model = apps.get_model(self.subject_model)
            return model._default_manager.filter(pk=self.subject_key).first()
        except (LookupError, ValueError):  # the model was removed from the site, or its keys have changed
            return None

    @property
    def selection(self) -> Selection:
        """The rows that it exports."""
        return Selection(self.data_owner, self.period, self.params)

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    @property
    def period_label(self) -> str:
        return self.period.label()

    @property
    def is_open(self) -> bool:
        return self.state in OPEN

    @property
    def is_small(self) -> bool:
        """Small enough for the worker of short tasks, beside the big exports."""
        return self.rows is not None and self.rows <= export_settings().small_rows

    @property
    def can_retry(self) -> bool:
        return self.state in RETRYABLE


class Volume(models.Model):
    """A finished file in addition to the export's own. `index` starts at 2. It expires with its export.

    Like the export's row, this row is kept as a record after the file is removed.
    """

    export = models.ForeignKey(Export, on_delete=models.CASCADE, related_name="volumes")
    index = models.PositiveIntegerField()
    artifact = models.CharField(max_length=255, blank=True, default="", help_text=_("Key of the file in the storage."))
    filename = models.CharField(max_length=200)
    size = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64)

    objects: ClassVar[PrimaryQuerySet[Volume]] = PrimaryQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("volume")
        ordering: ClassVar = ["export", "index"]
        indexes: ClassVar = [models.Index(fields=["artifact"], name="volume_file", condition=Q(artifact__gt=""))]
        constraints: ClassVar = [models.UniqueConstraint(fields=["export", "index"], name="volume_index_once")]

    def __str__(self) -> str:
        return f"volume {self.index} of {self.export}"
