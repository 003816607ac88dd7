"""Jobs: leased work that needs one class. The class is a model, so the backlog is rows, and a row is the promise.

A job is enqueued in the caller's transaction. Hints go to the broker for the most urgent rows of a class alone; the
others wait in the database. The end of a job, its effects in `record`, and the opening of the job that follows are one
transaction, fenced by `attempt` like every write of leased work. The reasons are in docs/decisions/0036-jobs.md.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from functools import partial
from itertools import chain
from typing import Any, ClassVar, Self, TypeVar

from django.apps import apps
from django.core.serializers.json import DjangoJSONEncoder
from django.db import IntegrityError, models
from django.db.models import F, Q
from django.db.models.signals import post_delete
from django.utils.translation import gettext_lazy as _

from durable import sweep
from durable.attempts import attempt, fill
from durable.clock import Now
from durable.databases import atomic, on_commit
from durable.fields import UTCDateTimeField
from durable.lease import Lease, LeaseLost
from durable.models import Work, WorkQuerySet
from durable.sweep import SweptModel

logger = logging.getLogger(__name__)
J = TypeVar("J", bound="Job")


class JobQuerySet(WorkQuerySet[J]):
    """Named queries for jobs."""

    def hinted(self) -> Self:
        """Rows with a hint that was sent recently, and that no worker has taken yet."""
        return self.open().unheld().filter(published_at__gt=self.publication_lost_before())


class Job(Work):
    """Base class of jobs: define fields for what a job is about, and `run`. Everything else is optional.

    The Meta of a job extends `Job.Meta`. Its name has at most 24 characters, because its indexes are named after it.
    """

    class State(models.TextChoices):
        BLOCKED = "blocked", _("After another job")
        WAITING = "waiting", _("Waiting")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")
        CANCELLED = "cancelled", _("Cancelled")

    permanent: ClassVar[type[Exception] | tuple[type[Exception], ...]] = ()
    """Errors after which a job is not tried again."""
    queue: ClassVar[str] = "high"
    """The part of the task's name by which Celery's task_routes choose the queue."""
    rate_limit: ClassVar[str | None] = None
    """Maximum number of starts over all workers, such as "10/m": per second, minute, hour or day (s, m, h, d)."""
    first_wait: ClassVar[float | None] = None
    """Seconds between the first two attempts; each further wait is twice as long. None: the setting BACKOFF_FIRST."""
    soft_time_limit: ClassVar[float] = 240
    """Seconds after which Celery raises SoftTimeLimitExceeded in `run`."""
    time_limit: ClassVar[float] = 300
    """Seconds after which Celery kills the process."""
    urgency = ("-priority", "next_attempt_at")

    state = models.CharField(_("state"), max_length=12, choices=State.choices, default=State.WAITING, editable=False)
    priority = models.SmallIntegerField(_("priority"), default=0, editable=False, help_text=_("Higher ones run first."))
    reason = models.TextField(
        _("reason"), blank=True, default="", editable=False, help_text=_("Why its last attempt failed.")
    )
    traceback = models.TextField(_("traceback"), blank=True, default="", editable=False)
    result = models.JSONField(_("result"), default=dict, blank=True, editable=False, encoder=DjangoJSONEncoder)
    followed_by = models.CharField(  # noqa: DJ001 - NULL keeps most rows out of the index
        _("followed by"), max_length=200, null=True, editable=False, help_text=_("The job that waits for this one.")
    )
    created_at = UTCDateTimeField(_("created"), db_default=Now(), editable=False)
    finished_at = UTCDateTimeField(_("ended"), null=True, blank=True, editable=False)

    objects: ClassVar[JobQuerySet[Any]] = JobQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        abstract = True
        base_manager_name = "objects"
        indexes: ClassVar = [
            models.Index(
                fields=["-priority", "next_attempt_at"],
                name="%(class)s_todo",
                condition=Q(next_attempt_at__isnull=False),
            ),
            models.Index(fields=["lease_until"], name="%(class)s_taken", condition=Q(lease_until__isnull=False)),
            models.Index(fields=["published_at"], name="%(class)s_sent", condition=Q(next_attempt_at__isnull=False)),
            models.Index(
                fields=["next_attempt_at"],
                name="%(class)s_spent",
                condition=Q(next_attempt_at__isnull=False, attempt__gte=F("attempt_limit")),
            ),
            models.Index(fields=["followed_by"], name="%(class)s_then", condition=Q(followed_by__isnull=False)),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(state="waiting", next_attempt_at__isnull=False, finished_at__isnull=True)
                | Q(state="blocked", next_attempt_at__isnull=True, finished_at__isnull=True)
                | Q(state__in=["done", "cancelled"], next_attempt_at__isnull=True, finished_at__isnull=False)
                | Q(state="failed", next_attempt_at__isnull=True, finished_at__isnull=False, reason__gt=""),
                name="%(app_label)s_%(class)s_state",
            ),
        ]

    def __str__(self) -> str:
        return f"{self._meta.verbose_name} {self.pk}"

    # --- what a class of jobs defines ---------------------------------------------------------------------------------

    def run(self, lease: Lease[Any]) -> dict[str, Any] | None:
        """Do the work, and return a small result for the admin. Any error is a failed attempt.

        It may run more than once: a worker may die after an effect, and before the end of the job is recorded.
        """
        raise NotImplementedError

    def record(self, result: dict[str, Any]) -> None:
        """Write effects to the job's database, in the transaction that ends the job: they occur exactly once."""

    # --- what its callers use -----------------------------------------------------------------------------------------

    @classmethod
    def enqueue(
        cls, *, after: float | timedelta = 0, priority: int = 0, then: Job | Sequence[Job] = (), **fields: Any
    ) -> Self:
        """Insert a job with these fields in the caller's transaction, and send its hint after the commit.

        `after` is a delay; a number means seconds. Jobs in `then`, not saved yet, run one after another once this job
        is done.

        If a row has the same unique fields, it is returned as it is, even if it has ended: `reopen` runs it again. The
        jobs in `then` then follow that row, unless one of the same class follows it already. Raises ValueError if one
        of another class does.
        """
        delay = after.total_seconds() if isinstance(after, timedelta) else after
        due = {"next_attempt_at": cls.moment_in(delay)} if delay else {}
        with atomic(cls):
            job, made = cls(priority=priority, **due, **fields)._insert()
            if then:
                job._lead_to(_steps(then))
            if made:
                on_commit(cls, partial(fill, cls))
        if due:
            job.refresh_from_db(fields=["next_attempt_at"])
        return job

    @staticmethod
    def enqueue_group(jobs: Iterable[Job], then: Job | Sequence[Job]) -> Job:
        """Insert jobs of any classes, not saved yet. Once all of them are done, `then` runs. Return it.

        If a row has the unique fields of `then`, it is returned and nothing is inserted. Raises IntegrityError if one
        of `jobs` exists.
        """
        members: dict[type[Job], list[Job]] = defaultdict(list)
        steps = _steps(then)
        with atomic(type(steps[0])):
            follower, made = _block(steps)
            if made:
                for job in jobs:
                    job.followed_by = follower.address
                    members[type(job)].append(job)
                for kind, rows in members.items():
                    kind.objects.bulk_create(rows)
                    on_commit(kind, partial(fill, kind))
                _open_if_ready(follower.address)
        return follower

    def reopen(self) -> bool:
        """Run a job again that has ended, or start a blocked one now. Return False if it is waiting or running."""
        with atomic(type(self)):
            opened = self._reopened(published_at=None)
            if opened:
                on_commit(type(self), partial(fill, type(self)))
        return opened

    def cancel(self) -> bool:
        """End a job that is waiting, blocked or running. Return False if it has ended.

        The outcome of a running attempt is not recorded. The jobs that follow stay blocked.
        """
        left = self._row.filter(state__in=[self.State.WAITING, self.State.BLOCKED])
        return bool(left.update(state=self.State.CANCELLED, **_closed()))

    def waits_for(self) -> Iterator[Job]:
        """Yield the jobs for which a blocked job waits: those that it follows and that are not done."""
        if self.state == self.State.BLOCKED:
            yield from chain.from_iterable(rows.order_by("pk").iterator() for rows in _undone_before(self.address))

    def run_here(self) -> dict[str, Any]:
        """Run the job in this process, and return its result or raise its error. For tests and debuggers.

        It need not be due, one that has ended is reopened, and the rate limit does not count. The outcome is recorded
        as in a worker. Raises LeaseLost if another process runs it.
        """
        self._reopened()
        self._row.open().unheld().update(next_attempt_at=Now(), published_at=Now())
        lease = self._row.claim(self.pk)
        if lease is None:
            raise LeaseLost(f"{self} is being run by another process.")
        with lease:
            error = attempt(lease)
        if error:
            raise error
        self.refresh_from_db()
        return dict(self.result)

    def save(self, *args: Any, **options: Any) -> None:
        """Insert a row, or change the fields in `update_fields`. In `run`, use `lease.save(field=value)`."""
        if not self._state.adding and options.get("update_fields") is None:
            raise TypeError(
                f"save() would overwrite the lease of {self}: use lease.save(field=value) in run(), "
                "or save(update_fields=[...])."
            )
        super().save(*args, **options)

    # --- how it works -------------------------------------------------------------------------------------------------

    @classmethod
    def task_name(cls) -> str:
        """Return the name of the Celery task of this class, such as "durable.jobs.high.gallery.thumbnail"."""
        return f"durable.jobs.{cls.queue}.{cls._meta.label_lower}"

    def hint(self) -> str:
        return self.task_name()

    def finish(self, lease: Lease[Self], result: dict[str, Any]) -> None:
        """End the job, record its effects, and open the job that follows, in one transaction. Raises LeaseLost."""
        with atomic(type(self)):
            lease.finish(state=self.State.DONE, result=result, reason="", traceback="", finished_at=Now())
            self.record(result)
            # Read after the write: a caller may have set it since the claim.
            if follower := self._row.values_list("followed_by", flat=True).get():
                _open_if_ready(follower)

    @classmethod
    def park(cls, job: Job) -> None:
        """Fail a job whose last attempt died. For the sweep."""
        words = f"Attempt {job.attempt} ended without reporting a result: its process was killed, or took too long."
        if job.dead_rows().update(state=cls.State.FAILED, reason=words, traceback="", **_closed()):
            logger.error("%s: failed: %s", job, words)

    @property
    def address(self) -> str:
        """The value of `followed_by` that refers to this row."""
        return f"{self._meta.label_lower}:{self.pk}"

    @property
    def _row(self) -> JobQuerySet[Any]:
        return type(self).objects.filter(pk=self.pk)

    def _insert(self) -> tuple[Self, bool]:
        """Insert the row, and return it with True. If one has its unique fields, return that one with False."""
        try:
            with atomic(type(self)):
                self.save(force_insert=True)
        except IntegrityError:
            if twin := next(self._twins(), None):
                return twin, False
            raise
        return self, True

    def _twins(self) -> Iterator[Any]:
        """Yield the rows with the same values in the fields of a unique constraint."""
        meta = self._meta
        unique = [([field.name], Q()) for field in meta.concrete_fields if field.unique]
        unique += [(list(names), Q()) for names in meta.unique_together]
        unique += [
            (list(each.fields), each.condition or Q())
            for each in meta.constraints
            if isinstance(each, models.UniqueConstraint) and each.fields
        ]
        for names, condition in unique:
            columns = [meta.get_field(name).attname for name in names]  # type: ignore[union-attr]  # not a relation
            values = {column: getattr(self, column) for column in columns}
            if None not in values.values():
                yield from type(self).objects.filter(condition, **values)

    def _lead_to(self, steps: Sequence[Job]) -> None:
        """Make these jobs follow this one, unless one of the same class follows it already."""
        if self.followed_by:
            if self.followed_by.partition(":")[0] == steps[0]._meta.label_lower:
                return
            raise ValueError(f"{self} exists and is followed by {self.followed_by}: only one job can follow another.")
        follower, _made = _block(steps)
        self._row.update(followed_by=follower.address)
        self.followed_by = follower.address
        _open_if_ready(follower.address)  # this job may be one that exists, and is done

    def _reopened(self, **fields: Any) -> bool:
        blank: dict[str, Any] = {"reason": "", "traceback": "", "result": {}, "finished_at": None}
        return bool(self._row.reopen(self.attempts_given(), state=self.State.WAITING, **blank, **fields))


def kinds() -> list[type[Job]]:
    """Return the job classes of the site."""
    return [model for model in apps.get_models() if issubclass(model, Job) and not model._meta.proxy]


def connect() -> None:
    """Register the job classes with the sweep. Idempotent."""
    for kind in kinds():
        sweep.register(SweptModel(kind, park=kind.park, publishes=None))
        sweep.register_chore(f"{kind._meta.model_name}: published", partial(fill, kind))
        post_delete.connect(_go_on_without, sender=kind)


def _closed() -> dict[str, Any]:
    return {"next_attempt_at": None, "lease_until": None, "leased_by": "", "finished_at": Now()}


def _steps(then: Job | Sequence[Job]) -> Sequence[Job]:
    return [then] if isinstance(then, Job) else then


def _block(steps: Sequence[Job]) -> tuple[Job, bool]:
    """Insert jobs that wait, each followed by the next one. Return the first, and whether it is new."""
    first, *rest = steps
    first.state, first.next_attempt_at = Job.State.BLOCKED, None
    row, made = first._insert()
    if made and rest:
        row._lead_to(rest)
    return row, made


def _open_if_ready(address: str) -> None:
    """Open the job at this address if it is blocked, and all jobs that it follows are done.

    Call it in the transaction that ends or deletes one of these. The first UPDATE locks the row, so of two
    transactions that end the last two jobs, the second one sees the end of the first.
    """
    label, _separator, pk = address.partition(":")
    try:
        kind: type[Job] = apps.get_model(label)
    except LookupError:
        logger.error("%s cannot follow: there is no class of jobs %s any more.", address, label)
        return
    blocked = kind.objects.filter(pk=pk, state=Job.State.BLOCKED)
    if not blocked.update(published_at=None):
        return
    if not any(rows.exists() for rows in _undone_before(address)):
        blocked.update(state=Job.State.WAITING, next_attempt_at=Now())
        on_commit(kind, partial(fill, kind))


def _undone_before(address: str) -> Iterator[JobQuerySet[Any]]:
    """Yield the jobs of each class that are not done and that the job at this address follows."""
    for kind in kinds():
        yield kind.objects.filter(followed_by=address).exclude(state=Job.State.DONE)


def _go_on_without(instance: Job, **_: Any) -> None:
    """Open the job that follows a deleted one, if all others are done."""
    if instance.followed_by:
        with atomic(type(instance)):
            _open_if_ready(instance.followed_by)
