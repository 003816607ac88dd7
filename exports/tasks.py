"""Celery tasks: each takes a primary key and makes one call. Only tasks whose results are read store them."""

from typing import Any

from durable import sweep as durable_sweep
from durable.celery.tasks import durable_task
from exports.pipeline import assemble, plan, render
from exports.upkeep import schedules, usage_report


@durable_task
def plan_export(export_pk: int) -> None:
    plan.run(export_pk)


@durable_task
def render_part(part_pk: int) -> None:
    render.run(part_pk)


@durable_task
def render_small_part(part_pk: int) -> None:
    render.run(part_pk)


@durable_task
def assemble_export(export_pk: int) -> None:
    assemble.run(export_pk)


@durable_task
def assemble_small_export(export_pk: int) -> None:
    assemble.run(export_pk)


@durable_task(ignore_result=False)
def run_slot(slot_pk: int) -> dict[str, Any]:
    return schedules.run_slot(slot_pk)


@durable_task(ignore_result=False)
def collect_report(report_pk: int) -> dict[str, Any]:
    return usage_report.collect(report_pk)


@durable_task(ignore_result=False)
def render_report(report_pk: int) -> dict[str, Any]:
    return usage_report.render(report_pk)


@durable_task(ignore_result=False)
def send_report(report_pk: int) -> dict[str, Any]:
    return usage_report.send(report_pk)


@durable_task
def advance_report(report_pk: int) -> None:
    usage_report.advance(report_pk)


@durable_task
def purge_expired_exports() -> dict[str, Any]:
    return schedules.call(purge_expired_exports.name)


@durable_task
def make_weekly_report() -> dict[str, Any]:
    return schedules.call(make_weekly_report.name)


@durable_task
def remind_of_expiring_exports() -> dict[str, Any]:
    return schedules.call(remind_of_expiring_exports.name)


@durable_task
def clean_up_results() -> dict[str, Any]:
    return schedules.call(clean_up_results.name)


@durable_task
def sweep() -> None:
    durable_sweep.sweep()
