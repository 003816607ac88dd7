"""django-import-export: a model resource holds the whole dataset in memory, then writes the file."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import ClassVar

from import_export.resources import ModelResource

from benchmarks import meter
from benchmarks.ledger.models import Booking
from benchmarks.ledger.rows import COLUMNS


class Bookings(ModelResource):  # type: ignore[misc]  # it has no types
    class Meta:
        model = Booking
        fields: ClassVar = COLUMNS
        export_order: ClassVar = COLUMNS


def export(kind: str, rows: int, path: Path) -> None:
    data = Bookings().export(queryset=Booking.objects.filter(pk__lte=rows).order_by("pk"))
    content = data.export(kind)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


if __name__ == "__main__":
    meter.main(partial(export, sys.argv[1]))
