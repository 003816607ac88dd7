"""Assemble an export: join its parts into one file or into the volumes of a bundle, and notify its owner."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import timedelta

from durable.clock import Now
from durable.databases import atomic
from durable.lease import Lease, LeaseLost
from exports.conf import export_settings
from exports.errors import FormatFailed, Mismatch, SpoiltPart
from exports.formats import writer
from exports.formats.archive import Zip
from exports.formats.assembly import Assembled, Assembly, File, SideFiles, is_framed
from exports.formats.context import context_of, entries_at
from exports.formats.zip.assemble import bundled
from exports.models import Export, Part, Volume
from exports.pipeline import announce, window
from exports.pipeline.attempt import attempt, require_permission
from exports.states import PartState, State
from exports.storage import artifacts

logger = logging.getLogger(__name__)


def run(export_pk: int) -> None:
    """Join the parts of an export into its artifact, and notify its owner."""
    attempt(Export.objects.filter(state=State.ASSEMBLING).claim(export_pk), _assemble, FormatFailed)


def _assemble(lease: Lease[Export]) -> None:
    export = lease.work
    require_permission(export)
    parts = list(export.parts.order_by("index"))
    if not parts or any(part.state != PartState.DONE for part in parts):
        raise Mismatch
    try:
        made = _joined(lease, parts)
    except SpoiltPart as error:
        if _render_again(lease, error.part):
            return
        raise
    try:
        _finish(lease, made)
    except LeaseLost:
        artifacts.delete([stored.key for stored, _ in made.files])
        raise
    artifacts.clear(str(export.uuid), keep={stored.key for stored, _ in made.files})  # and files of lost attempts


def _render_again(lease: Lease[Export], part_pk: int) -> bool:
    """Move the export back to rendering, to write one part again. Return False if the part has no attempts left."""
    part = lease.work.parts.get(pk=part_pk)
    left = part.attempt_limit - part.attempt - 1
    if left < 1:
        return False
    logger.warning("%s: its file %s is corrupt; it will be rendered again.", part, part.artifact)
    with atomic(Export):
        lease.finish(state=State.RENDERING)
        Part.objects.filter(pk=part_pk).render_again(left)
    artifacts.delete([part.artifact])
    window.fill_window()
    return True


def _finish(lease: Lease[Export], made: Assembled) -> None:
    """Mark the export as ready, with all of its files, and notify its owner, in one transaction."""
    export = lease.work
    (first, filename), *further = made.files
    with atomic(Export):
        lease.finish(
            state=State.READY,
            finished_at=Now(),
            expires_at=Now() + timedelta(days=export_settings().keep_days),
            rows=made.rows,
            pages=made.pages,
            artifact=first.key,
            size=first.size,
            sha256=first.sha256,
            filename=filename,
        )
        Volume.objects.bulk_create(
            Volume(export=export, index=index, artifact=more.key, filename=name, size=more.size, sha256=more.sha256)
            for index, (more, name) in enumerate(further, start=2)
        )
        Part.objects.filter(export=export).update(artifact="", state=PartState.JOINED)
        export.refresh_from_db()
        announce.ready(export)


def _joined(lease: Lease[Export], parts: Sequence[Part]) -> Assembled:
    """Join the parts of an export. Raises Mismatch if the number of joined rows differs from the rows of the parts."""
    with artifacts.scratch_folder() as folder:
        assembly = Assembly(lease, parts, folder)
        return bundled(assembly) if assembly.export.inside else _one_file(assembly)


def _one_file(assembly: Assembly) -> Assembled:
    """Join the parts of an export of one dataset into its file, or into a ZIP if the format opened side files."""
    parts = assembly.parts(0)
    kind = writer(assembly.export.format)
    rows = sum(part.rows_done for part in parts)
    with ExitStack() as held:
        beside = SideFiles(assembly.folder, held)
        context = context_of(assembly.export, 0, rows=rows, beside=beside)
        file = held.enter_context(artifacts.scratch(f".{kind.extension}"))
        written = kind.assemble(assembly.opened(parts), file, context)
        if written.rows != rows:
            raise Mismatch
        extension = kind.extension_of(assembly.export.options)
        if beside.files:
            archived = held.enter_context(artifacts.scratch(".zip"))
            file.seek(0)
            with Zip(archived, entries_at(assembly.export), timestamps=True) as archive:
                assembly.put(archive, f"{context.name}.{extension}", file, stored=not is_framed(kind))
                beside.put(assembly, archive)
            file, extension = archived, "zip"
        return Assembled([File(assembly.store(file, extension), f"{context.name}.{extension}")], rows, written.pages)
