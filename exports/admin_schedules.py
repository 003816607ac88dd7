"""Admin of schedules and their slots. It can be imported only if django_celery_beat is installed."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django_celery_beat.admin import PeriodicTaskAdmin
from django_celery_beat.models import PeriodicTask
from kombu.exceptions import OperationalError

from durable.admin_lists import ReadOnly, SlowFilter, WorkColumns
from durable.hints import publish_on_commit
from durable.models import WorkQuerySet
from exports.models import Slot
from exports.upkeep import schedules


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


@admin.register(Slot)
class SlotAdmin(ReadOnly, WorkColumns, admin.ModelAdmin):  # type: ignore[type-arg]
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
