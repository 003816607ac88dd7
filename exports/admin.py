"""Admin of exports, parts, downloads, slots, usage reports and schedules: read-only pages with a few actions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth import get_permission_codename
from django.db.models import Model, Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django_celery_beat.admin import PeriodicTaskAdmin
from django_celery_beat.models import PeriodicTask
from kombu.exceptions import OperationalError

from durable.conf import durable_settings
from durable.hints import publish_on_commit
from durable.models import Work, WorkQuerySet
from exports.admin_lists import Bounded, error_codes, known, search
from exports.datasets import datasets
from exports.errors import ExportError
from exports.formats import formats
from exports.intake.requests import cancel_export, expire_export, retry_export
from exports.models import Download, Export, Part, Slot, UsageReport
from exports.states import State
from exports.upkeep import schedules
from exports.web.downloads import inspect


class ReadOnly:
    """Mixin for models whose rows only the site writes: they can be viewed, but not added or changed."""

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Allow actions to users with the change permission, although rows cannot be edited."""
        opts = self.opts  # type: ignore[attr-defined]
        return request.user.has_perm(f"{opts.app_label}.{get_permission_codename('change', opts)}")


class SlowFilter(admin.SimpleListFilter):
    """Filter for work with a slow attempt, finished or still running."""

    title = _("speed")
    parameter_name = "slow"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [("1", _("Slow (over %(seconds)s s)") % {"seconds": f"{durable_settings().slow_seconds:g}"})]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(slow()) if self.value() else queryset


class ByHandFilter(admin.SimpleListFilter):
    """Filter for runs started by their schedule, or by hand."""

    title = _("how it was started")
    parameter_name = "by_hand"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [("0", _("By schedule")), ("1", _("By hand"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case "0":
                return queryset.filter(by_hand="")
            case "1":
                return queryset.exclude(by_hand="")
        return queryset


def slow() -> Q:
    """Return the condition for rows with an attempt longer than `slow_seconds`, finished or still running."""
    limit = durable_settings().slow_seconds
    return Q(longest_seconds__gt=limit) | Q(lease_until__gt=Now(), claimed_at__lt=Work.moment_in(-limit))


class WorkColumns:
    """Mixin with the columns that all leased work has."""

    @admin.display(description=_("attempts"), ordering="attempt")
    def attempts(self, obj: Work) -> str:
        return f"{obj.failures} / {obj.attempts_given()}" if obj.attempt else "0"

    @admin.display(description=_("worker seconds"), ordering="seconds")
    def worked(self, obj: Work) -> SafeString | str:
        if obj.longest_seconds > durable_settings().slow_seconds:
            return format_html("<strong>{} {}</strong>", f"{obj.seconds:.1f}", _("(slow)"))
        return f"{obj.seconds:.1f}"


class PartInline(ReadOnly, WorkColumns, admin.TabularInline[Part, Export]):
    model = Part
    fields = ("index", "state", "rows", "rows_done", "attempts", "worked", "leased_by", "lease_until", "error_detail")
    readonly_fields = fields
    extra = 0
    can_delete = False
    show_change_link = True
    max_num = 50


@admin.register(Export)
class ExportAdmin(ReadOnly, WorkColumns, Bounded):
    list_display = (
        "uuid", "owner", "dataset", "format", "state", "rows", "bytes",
        "requested_at", "finished_at", "expires_at", "attempts", "worked", "error_code",
    )  # fmt: skip
    list_filter = (
        "state", ("format", known(lambda: (kind.key for kind in formats))),
        ("dataset", known(lambda: (dataset.key for dataset in datasets))),
        SlowFilter, ("error_code", known(error_codes)), "requested_at",
    )  # fmt: skip
    search_fields = ("uuid", "owner")
    search_help_text = gettext_lazy("Start of an export ID, or part of the owner's user name or e-mail address")
    list_select_related = ("owner",)
    readonly_fields = ("stored",)
    inlines = (PartInline,)
    actions = ("retry", "cancel", "expire_now")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Export], search_term: str
    ) -> tuple[QuerySet[Export], bool]:
        return (search(queryset, search_term.strip()) if search_term.strip() else queryset), False

    @admin.display(description=_("size"), ordering="size")
    def bytes(self, obj: Export) -> str:
        return filesizeformat(obj.size) if obj.size is not None else ""

    @admin.display(description=_("stored files"))
    def stored(self, obj: Export) -> str:
        """Check the stored files when the page is shown: a file may have been removed by hand."""
        return (inspect(obj) or _("as recorded")) if obj.state == State.READY else ""

    @admin.action(description=_("Try again (failed or cancelled)"), permissions=["operate"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Export]) -> None:
        _each(self, request, queryset, partial(retry_export, by_operator=True))

    @admin.action(description=_("Cancel (under way)"), permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Export]) -> None:
        _each(self, request, queryset, cancel_export)

    @admin.action(description=_("Expire now (ready): removes the file"), permissions=["operate"])
    def expire_now(self, request: HttpRequest, queryset: QuerySet[Export]) -> None:
        _each(self, request, queryset, expire_export)


def _each(
    model_admin: admin.ModelAdmin[Export],
    request: HttpRequest,
    queryset: QuerySet[Export],
    action: Callable[[Export], None],
) -> None:
    """Run `action` on each row. Report how many were changed, and why the others were not."""
    done = 0
    for export in queryset:
        try:
            action(export)
            done += 1
        except ExportError as error:
            model_admin.message_user(request, f"{export.uuid}: {error.message}", messages.WARNING)
    if done:
        model_admin.message_user(
            request, ngettext("%d export changed.", "%d exports changed.", done) % done, messages.SUCCESS
        )


@admin.register(Part)
class PartAdmin(ReadOnly, WorkColumns, Bounded):
    list_display = (
        "export", "index", "owner", "state", "rows", "rows_done", "attempts", "worked",
        "leased_by", "lease_until", "next_attempt_at", "error_code",
    )  # fmt: skip
    list_filter = ("state", SlowFilter, ("error_code", known(error_codes)))
    search_fields = ("export", "owner")
    search_help_text = ExportAdmin.search_help_text
    list_select_related = ("export", "owner")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Part], search_term: str
    ) -> tuple[QuerySet[Part], bool]:
        return (search(queryset, search_term.strip(), export="export__") if search_term.strip() else queryset), False

    def has_delete_permission(self, request: HttpRequest, obj: Part | None = None) -> bool:
        """Allow deletion with the export or its owner, but not alone: the export would lack the part's rows."""
        here = request.resolver_match
        alone = here is not None and (here.url_name or "").startswith("exports_part_")
        return not alone and super().has_delete_permission(request, obj)


@admin.register(Download)
class DownloadAdmin(ReadOnly, Bounded):
    list_display = ("export", "user", "started_at", "finished_at")
    list_filter = ("started_at",)
    search_fields = ("export__uuid__startswith", "user__username")
    list_select_related = ("export", "user")


@admin.register(Slot)
class SlotAdmin(ReadOnly, WorkColumns, admin.ModelAdmin[Slot]):
    list_display = ("schedule", "slot", "started_by_hand", "state", "result", "finished_at", "attempts", "worked")
    list_filter = ("state", "schedule", ByHandFilter, SlowFilter)
    date_hierarchy = "slot"
    actions = ("run_again",)

    @admin.display(description=_("by hand"), boolean=True)
    def started_by_hand(self, obj: Slot) -> bool:
        return bool(obj.by_hand)

    @admin.display(description=_("result"))
    def result(self, obj: Slot) -> str:
        return schedules.in_words(obj)

    @admin.action(description=_("Run again"), permissions=["operate"])
    def run_again(self, request: HttpRequest, queryset: WorkQuerySet[Slot]) -> None:
        """Reopen closed slots. Their work is safe to repeat."""
        closed = queryset.exclude(state=Slot.State.WAITING)
        pks = list(closed.values_list("pk", flat=True))
        closed.reopen(Slot.max_attempts, state=Slot.State.WAITING, finished_at=None)
        publish_on_commit(Slot.objects.filter(pk__in=pks))
        self.message_user(request, ngettext("%d slot runs again.", "%d slots run again.", len(pks)) % len(pks))


@admin.register(UsageReport)
class UsageReportAdmin(ReadOnly, WorkColumns, admin.ModelAdmin[UsageReport]):
    list_display = ("week", "start", "end", "stage", "sent_at", "attempts", "worked", "error_message")
    list_filter = ("stage",)


class ScheduleAdmin(PeriodicTaskAdmin):  # type: ignore[misc]  # it has no stubs
    """Admin of periodic tasks. Its action "Run selected tasks" links to the results."""

    @admin.action(description=_("Run selected tasks"), permissions=["change"])
    def run_tasks(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        """Send the tasks, and link to the results if any of the tasks stores them."""
        try:
            super().run_tasks(request, queryset)
        except OperationalError:
            words = _("Redis is not responding, so not all tasks were started. Try again when it is available.")
            self.message_user(request, words, messages.ERROR)
            return
        unknown = queryset.exclude(task__in=list(self.celery_app.tasks)).exists()  # if so, nothing was sent
        if not unknown and queryset.filter(task__in=[schedule.task for schedule in schedules.registered()]).exists():
            slots = f"{reverse('admin:exports_slot_changelist')}?by_hand=1"
            words = _('The tasks were started. See the results under <a href="{}">Schedule slots</a>.')
            self.message_user(request, format_html(words, slots))


if isinstance(admin.site._registry.get(PeriodicTask), PeriodicTaskAdmin):
    admin.site.unregister(PeriodicTask)
    admin.site.register(PeriodicTask, ScheduleAdmin)
