"""The shop, for tests of pages: orders to export, an export carried to its end right here, and rows in any state."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User
from django.db.models.functions import Now

from exports.demo.models import Category, Order, Status
from exports.intake.choices import ExportRequest
from exports.intake.requests import request_export
from exports.models import Export
from exports.pipeline.inline import carry_out
from exports.states import OPEN, State

SHA256 = "ab" * 32


def orders(owner: User, count: int = 3, placed_at: datetime = datetime(2026, 1, 15, 12, tzinfo=UTC)) -> None:
    """Give `owner` this many orders, all placed at one moment."""
    alike: dict[str, Any] = {"buyer": "Zoë Łukasik", "street": "1 Long Lane", "city": "Oslo", "country": "NO"}
    alike |= {"item": "Tea", "category": Category.FOOD, "quantity": 2}
    alike |= {"unit_price": Decimal("1.50"), "total": Decimal("3.00")}
    alike |= {"currency": "EUR", "status": Status.PAID, "placed_at": placed_at}
    Order.objects.bulk_create(Order(owner=owner, number=f"{number:06}", **alike) for number in range(count))


def ready(owner: User, **asked: Any) -> Export:
    """A READY export with a real file, made by the real pipeline in this process."""
    request = ExportRequest(**({"dataset": "orders", "format": "csv", "period": "all"} | asked))
    export = request_export(owner, request).export
    carry_out(export, lambda _: None)
    assert export.state == State.READY, export.error_message
    return export


def in_state(owner: User, state: State, **fields: Any) -> Export:
    """A row in `state`, with what the database's constraints want of it and no file."""
    known: dict[str, Any] = {"dataset": "orders", "format": "csv", "period_choice": "all"}
    known |= {"period_end": datetime.now(UTC), "owner": owner, "state": state}
    known |= {"fingerprint": str(Export.objects.count())}
    known["next_attempt_at"] = Now() if state in (State.QUEUED, State.ASSEMBLING) else None
    if state not in OPEN:
        known["finished_at"] = Now()
    if state in (State.READY, State.EXPIRED):
        known |= {"rows": 3, "size": 300, "sha256": SHA256, "filename": "orders.csv", "expires_at": Now()}
    if state == State.READY:
        known["artifact"] = "nowhere.csv"
    if state == State.FAILED:
        known |= {"error_code": "disk_full", "error_message": "There was no room left."}
    export = Export.objects.create(**known | fields)
    export.refresh_from_db()
    return export
