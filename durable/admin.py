"""Admin of jobs and workers. A site gets it for each model that it has not registered itself."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

from django.apps import apps
from django.contrib import admin, messages
from django.contrib.admin.apps import AdminConfig
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from durable.admin_lists import Bounded, ReadOnly, SlowFilter, WorkColumns
from durable.clock import now
from durable.jobs import Job, kinds
from durable.workers import Worker

SHOWN = 20
"""Maximum number of jobs that are shown as those that another one waits for."""


class JobAdmin(ReadOnly, WorkColumns, Bounded):
    """Lists the jobs of one class, with their outcomes. Register a subclass of it to show more."""

    list_display: tuple[Any, ...] = (
        "__str__", "status", "priority", "attempts", "worked", "next_attempt_at", "created_at", "finished_at", "reason",
    )  # fmt: skip
    list_filter = ("state", SlowFilter, "created_at")
    actions = ("try_again", "cancel")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show the fields of the class itself first."""
        names = [field.name for field in self.opts.concrete_fields]
        every = [field.name for field in Job._meta.fields]
        outcome = ["status", "waits_for", "result", "reason", "traceback", "followed_by"]
        return [
            (None, {"fields": [*(name for name in names if name not in every), *outcome]}),
            (_("Attempts"), {"fields": ["attempts", *(name for name in every if name not in (*outcome, "state"))]}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [name for _title, options in self.get_fieldsets(request, obj) for name in options["fields"]]

    @admin.display(description=gettext_lazy("state"), ordering="state")
    def status(self, obj: Job) -> str:
        running = obj.lease_until is not None and obj.lease_until > now()
        return _("Running") if running else obj.get_state_display()

    @admin.display(description=gettext_lazy("waits for"))
    def waits_for(self, obj: Job) -> str:
        return ", ".join(f"{job} ({job.get_state_display()})" for job in islice(obj.waits_for(), SHOWN))

    @admin.action(
        description=gettext_lazy("Try again (failed or cancelled), or start now (blocked)"), permissions=["operate"]
    )
    def try_again(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._each(request, queryset, lambda job: job.state != Job.State.DONE and job.reopen())

    @admin.action(description=gettext_lazy("Cancel (waiting, running or blocked)"), permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._each(request, queryset, lambda job: job.cancel())

    def _each(self, request: HttpRequest, queryset: QuerySet[Any], act: Callable[[Any], bool]) -> None:
        """Run an action on each row. Report how many it changed, and how many it left alone."""
        chosen = list(queryset)
        done = sum(map(act, chosen))
        if done:
            self.message_user(request, ngettext("%d job changed.", "%d jobs changed.", done) % done, messages.SUCCESS)
        if left := len(chosen) - done:
            words = ngettext(
                "%d job not changed: its state is another.", "%d jobs not changed: their state is another.", left
            )
            self.message_user(request, words % left, messages.WARNING)


class WorkerAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    """Lists the workers: the queues that they serve, how many tasks they run at once, and whether they are alive."""

    list_display = ("name", "alive", "serves", "processes", "version", "started_at", "seen_at")
    ordering = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return Worker.objects.annotate(is_alive=Exists(Worker.objects.alive().filter(pk=OuterRef("pk"))))

    @admin.display(description=gettext_lazy("alive"), boolean=True)
    def alive(self, obj: Any) -> bool:
        return bool(obj.is_alive)

    @admin.display(description=gettext_lazy("queues"))
    def serves(self, obj: Worker) -> str:
        return ", ".join(obj.queues)


def connect() -> None:
    """Register the admin of workers, and JobAdmin for the classes of jobs that no `admin.py` has registered."""
    if isinstance(apps.get_app_config("admin"), AdminConfig):
        admin.autodiscover()  # for a site that lists the admin after this app; imported modules are not imported again
    if not admin.site.is_registered(Worker):
        admin.site.register(Worker, WorkerAdmin)
    for kind in kinds():
        if not admin.site.is_registered(kind):
            admin.site.register(kind, JobAdmin)
