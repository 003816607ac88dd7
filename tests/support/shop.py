"""Shop data for tests of pages: orders to export, an export run in this process, and exports in any state."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User

from durable.clock import Now
from exports.demo.models import Category, Order, Status
from exports.intake.choices import ExportRequest
from exports.intake.requests import request_export
from exports.models import Export
from exports.pipeline.inline import run_inline
from exports.states import OPEN, State

SHA256 = "ab" * 32


def orders(owner: User, count: int = 3, placed_at: datetime = datetime(2026, 1, 15, 12, tzinfo=UTC)) -> None:
    """Create `count` orders of `owner`, all placed at the same time."""
    common: dict[str, Any] = {"buyer": "Zoë Łukasik", "street": "1 Long Lane", "city": "Oslo", "country": "NO"}
    common |= {"item": "Tea", "category": Category.FOOD, "quantity": 2}
    common |= {"unit_price": Decimal("1.50"), "total": Decimal("3.00")}
    common |= {"currency": "EUR", "status": Status.PAID, "placed_at": placed_at}
    Order.objects.bulk_create(Order(owner=owner, number=f"{number:06}", **common) for number in range(count))


def ready(owner: User, **choices: Any) -> Export:
    """Return a READY export with a file, made by the real pipeline in this process."""
    request = ExportRequest(**({"dataset": "orders", "format": "csv", "period": "all"} | choices))
    export = request_export(owner, request).export
    run_inline(export, lambda _: None)
    assert export.state == State.READY, export.error_message
    return export


def in_state(owner: User, state: State, **fields: Any) -> Export:
    """Create an export in `state` that satisfies the database's constraints, without a file."""
    values: dict[str, Any] = {"dataset": "orders", "format": "csv", "period_choice": "all"}
    values |= {"period_end": datetime.now(UTC), "owner": owner, "state": state}
    values |= {"fingerprint": str(Export.objects.count())}
    values["next_attempt_at"] = Now() if state in (State.QUEUED, State.ASSEMBLING) else None
    if state not in OPEN:
        values["finished_at"] = Now()
    if state in (State.READY, State.EXPIRED):
        values |= {"rows": 3, "size": 300, "sha256": SHA256, "filename": "orders.csv", "expires_at": Now()}
    if state == State.READY:
        values["artifact"] = "nowhere.csv"
    if state == State.FAILED:
        values |= {"error_code": "disk_full", "error_message": "There was no room left."}
    export = Export.objects.create(**values | fields)
    export.refresh_from_db()
    return export
