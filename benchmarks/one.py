"""One export of the ledger in one process, in the steps of a worker: `python -m benchmarks.one csv`.

The dataset, its key ranges, the format and its parts are those of the site. Leases, checksums and the move into the
storage are left out, because no peer has them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from zoneinfo import ZoneInfo

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.utils import timezone, translation  # noqa: E402

from benchmarks import meter  # noqa: E402
from exports.datasets import Dataset, KeyRange, Selection, datasets  # noqa: E402
from exports.formats import Format, OpenPart, RenderContext, Written, writer  # noqa: E402
from exports.models.period import Period  # noqa: E402
from exports.pipeline.rates import rate_of  # noqa: E402

T = TypeVar("T")
PERIOD = Period(asked_at=timezone.now())


@dataclass(frozen=True)
class Job:
    """An export in progress, with the folder of its parts and the seconds of its steps."""

    dataset: Dataset
    kind: Format
    context: RenderContext
    folder: Path
    seconds: dict[str, float]

    def timed(self, step: str, work: Callable[[], T]) -> T:
        begin = time.perf_counter()
        result = work()
        self.seconds[step] = round(time.perf_counter() - begin, 3)
        return result


def export(key: str, rows: int, path: Path) -> dict[str, Any]:
    """Write the ledger to `path`. Return the seconds of each step, and the number of parts and pages."""
    with translation.override("en-gb"):
        job = _job(datasets.get("bookings"), writer(key), path)
        ranges, layout = job.timed("plan", lambda: _plan(job))
        job = replace(job, context=replace(job.context, layout=layout))
        before = accumulate((keys.rows for keys in ranges), initial=0)
        work = list(enumerate(zip(ranges, before, strict=False)))
        parts = job.timed("write", lambda: [_write(job, index, keys, rows) for index, (keys, rows) in work])
        with path.open("wb") as out:
            context = replace(job.context, rows=sum(part.rows for part in parts))
            written = job.timed("assemble", lambda: job.kind.assemble(_opened(job, parts), out, context))
    if written.rows != rows:
        raise SystemExit(f"{key} wrote {written.rows:,} of {rows:,} rows.")
    return {"steps": job.seconds, "parts": len(parts), "pages": written.pages}


def _job(dataset: Dataset, kind: Format, path: Path) -> Job:
    context = RenderContext(
        title=str(dataset.label), owner="Ada Lovelace", period=PERIOD.label(),
        columns=dataset.choose([]), zone=ZoneInfo("UTC"), requested_at=timezone.now(), name="bookings",
    )  # fmt: skip
    kind.refuse(context.columns)
    return Job(dataset, kind, context, path.parent, {})


def _plan(job: Job) -> tuple[Sequence[KeyRange], Any]:
    ranges = job.dataset.key_ranges(Selection(User(), PERIOD), rate_of(job.dataset.key, job.kind.key).rows_per_part)
    sample = job.dataset.sample(Selection(User(), PERIOD), job.context.columns, ranges) if job.kind.prepares else []
    if job.kind.wants_extremes:
        sample += job.dataset.extremes(Selection(User(), PERIOD), job.context.columns)
    return ranges, job.kind.prepare(sample, job.context)


def _write(job: Job, index: int, keys: KeyRange, before: int) -> Written:
    source = job.dataset.source(Selection(User(), PERIOD), job.context.columns, keys)
    with _file(job, index).open("w+b") as out:
        return job.kind.write(source, out, replace(job.context, index=index, before=before))


def _opened(job: Job, parts: Sequence[Written]) -> Iterator[OpenPart]:
    for index, part in enumerate(parts):
        with _open(_file(job, index)) as file:
            yield OpenPart(file, part.rows, part.meta)
        _file(job, index).unlink()


def _open(path: Path) -> BinaryIO:
    return path.open("rb")


def _file(job: Job, index: int) -> Path:
    return job.folder / f"part-{index}"


if __name__ == "__main__":
    meter.main(partial(export, sys.argv[1]))
