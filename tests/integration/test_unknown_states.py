"""Tests of rows in a state of the next release: this release leaves them alone and continues."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from durable.clock import Now
from exports.models import Export, Part
from exports.states import PartState, State
from exports.upkeep import purge
from tests.support.exports import Errands, ask, export_in, part_in, registered, step, sweep_now, work

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifact_dir")]
NEXT = "archived"


@pytest.fixture
def _next_schema(db: None) -> Iterator[None]:
    """Remove the constraints on states, as the next release has one more state."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA ignore_check_constraints = ON")
            yield
            cursor.execute("PRAGMA ignore_check_constraints = OFF")
            return
        for table, names in (("export", Export._meta.constraints), ("part", Part._meta.constraints)):
            for constraint in names:
                if type(constraint).__name__ == "CheckConstraint":
                    cursor.execute(f'ALTER TABLE exports_{table} DROP CONSTRAINT "{constraint.name}"')
        yield


@pytest.fixture
def _foreign(_next_schema: None, ada: User) -> Iterator[None]:
    """Create an export in the unknown state, and a rendering export with a part in the unknown state."""
    archived = export_in(State.READY, ada)
    rendering = export_in(State.RENDERING, ada)
    part = part_in(PartState.WAITING, rendering)
    Export.objects.filter(pk=archived.pk).update(state=NEXT)
    Part.objects.filter(pk=part.pk).update(state=NEXT, next_attempt_at=None)
    with registered(Errands):
        yield


@pytest.mark.usefixtures("_foreign")
def test_the_pages_show_rows_in_unknown_states(ada: User) -> None:
    ada.is_staff = ada.is_superuser = True
    ada.save()
    client = Client()
    client.force_login(ada)
    paths = ["/exports/", "/admin/exports/export/", "/admin/exports/part/"]
    for export in Export.objects.all():
        mine, change = f"/exports/{export.uuid}/", f"/admin/exports/export/{export.pk}/change/"
        paths += [mine, f"{mine}progress/", f"/api{mine}", change]
    assert {path: client.get(path).status_code for path in paths} == dict.fromkeys(paths, 200)
    archived = Export.objects.get(state=NEXT)
    assert client.get(f"/exports/{archived.uuid}/download/").status_code in (404, 409, 410)


@pytest.mark.usefixtures("_foreign")
def test_the_sweep_and_the_purge_leave_unknown_states_alone(ada: User, artifact_dir: Path) -> None:
    mine = ask(ada)
    sweep_now()
    work(mine)
    purge.purge()
    sweep_now()
    assert mine.state == State.READY
    assert Export.objects.filter(state=NEXT, artifact__gt="").count() == 1
    assert Part.objects.filter(state=NEXT).count() == 1
    assert Export.objects.filter(state=State.RENDERING).count() == 1


@pytest.mark.usefixtures("_foreign")
def test_rows_in_unknown_states_are_not_claimed(ada: User) -> None:
    """Due work of the next release reaches a worker of this release."""
    Export.objects.filter(state=NEXT).update(next_attempt_at=Now())
    Part.objects.filter(state=NEXT).update(next_attempt_at=Now())
    for export in Export.objects.filter(state=NEXT):
        step("plan_export", export.pk)
        step("assemble_export", export.pk)
    for part in Part.objects.filter(state=NEXT):
        step("render_part", part.pk)
    sweep_now()
    assert {row.attempt for row in (*Export.objects.all(), *Part.objects.all())} == {0}
    assert [row.state for row in (*Export.objects.order_by("pk"), *Part.objects.all())] == [NEXT, State.RENDERING, NEXT]
