"""Assembly of a bundle: put the files of its datasets into volumes, complete the volumes and store them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

from durable import clock
from exports.formats import writer
from exports.formats.assembly import Assembled, Assembly, File
from exports.formats.context import context_of, entries_at, folders_of, slug, stem
from exports.formats.deflate import segment
from exports.formats.zip import limit_of
from exports.formats.zip.entries import ENTRY, bundle_files
from exports.formats.zip.manifest import Bound, Bundle, Listing, Missing
from exports.formats.zip.pages import Extras, previews
from exports.formats.zip.uploads import Unreadable, count_uploads, fetched, uploads_of
from exports.formats.zip.volumes import Volumes
from exports.models import Export
from exports.storage import artifacts

LISTING_BYTES = 500
"""Compressed size of the entries for a file and its volume in the manifest, the package, the page and SHA256SUMS.txt.
Most of it is checksums."""

UPLOAD_BYTES = 1_000
"""The same for an upload, or a missing one, whose name may be long and incompressible."""

NAME_BYTES = 60
"""Maximum compressed size of a volume's name in a README."""


def bundled(assembly: Assembly) -> Assembled:
    """Assemble and store a bundle: its files in one volume, or in volumes of the chosen size."""
    export, created = assembly.export, clock.now()
    limit = limit_of(export.options)
    extras = Extras(previews(assembly))
    blank = Bundle(export, created, [], [Bound(1, _volume_name(export, 1, 2))] * 2, limit)
    room = (0, 0) if limit is None else _reserved(assembly, extras, blank, limit)
    missing: list[Missing] = []
    with Volumes(assembly.folder, entries_at(export), limit, *room) as volumes:
        files = [*_fill(assembly, volumes), *_fill_uploads(assembly, volumes, missing)]
        made = _finish_and_store(assembly, volumes, extras, replace(blank, files=files, missing=missing))
    pages = [file.pages for file in files if file.pages is not None]
    return Assembled(made, sum(file.rows or 0 for file in files), sum(pages) if pages else None)


def _fill(assembly: Assembly, volumes: Volumes) -> Iterator[Listing]:
    """Put every file into a volume, and yield its listing."""
    places = folders_of(assembly.export)
    for number, content in enumerate(assembly.export.contents):
        with closing(bundle_files(assembly, number, volumes.capacity)) as files:
            for file in files:
                volume = volumes.volume_for(file)
                written, (own, *side_files) = volume.put(file, f"{places[content.dataset]}/")
                position = len(volumes.all)
                facts = (content.format, written.rows, written.pages, own.size, own.sha256, position)
                described = (file.kind.about(file.context), file.kind.table(file.context))
                yield Listing(number, own.name, *facts, file.context.share, *described)
                for more in side_files:
                    yield Listing(number, more.name, "", None, None, more.size, more.sha256, position)


def _fill_uploads(assembly: Assembly, volumes: Volumes, missing: list[Missing]) -> Iterator[Listing]:
    """Put every upload into a volume, and yield its listing. Append those that cannot be read to `missing`."""
    for key in assembly.export.datasets:
        number = assembly.export.first_content(key)
        for upload in uploads_of(assembly, key):
            try:
                with fetched(assembly, upload) as file:
                    _, [own] = volumes.volume_for(file).put(file, "")
            except Unreadable as error:
                missing.append(Missing(key, upload, error.reason))
                continue
            facts = (None, None, own.size, own.sha256, len(volumes.all))
            yield Listing(number, own.name, "", *facts, upload=upload)


def _finish_and_store(assembly: Assembly, volumes: Volumes, extras: Extras, bundle: Bundle) -> list[File]:
    """Complete the volumes and store them. The first one comes last, because it lists the checksums of the others."""
    names = [_volume_name(bundle.export, number, len(volumes.all)) for number in range(1, len(volumes.all) + 1)]
    bounds = [
        Bound(number, name, oversize=volume.oversize)
        for (number, name), volume in zip(enumerate(names, 1), volumes.all, strict=True)
    ]
    stored: list[artifacts.Stored] = []
    try:
        for place, volume in reversed(list(enumerate(volumes.all))):
            current = replace(bundle, volumes=bounds)
            volume.finish(extras.of_other(current, bounds[place]) if place else extras.of_first(current))
            with volume.path.open("rb") as file:
                stored.append(assembly.store(file, "zip", place + 1))
            bounds[place] = replace(bounds[place], size=stored[-1].size, sha256=stored[-1].sha256)
    except Exception:
        artifacts.delete([each.key for each in stored])
        raise
    return [File(*pair) for pair in zip(reversed(stored), names, strict=True)]


def _volume_name(export: Export, number: int, count: int) -> str:
    keys = export.datasets
    name = stem(export, slug(keys[0]) if len(keys) == 1 else "export")
    return f"{name}.zip" if count == 1 else f"{name}-{number}-of-{count}.zip"


def _reserved(assembly: Assembly, extras: Extras, blank: Bundle, limit: int) -> tuple[int, int]:
    """Return the maximum size of the files that are added at the end, in the first volume and in each other volume."""
    described = replace(blank, files=list(_described(assembly)))
    first = _packed_size(extras.of_first(described))
    other = _packed_size(extras.of_other(blank, blank.volumes[0]))
    files = 0
    for number, _ in enumerate(assembly.export.contents):
        parts = assembly.parts(number)
        size = sum(part.size or 0 for part in parts)
        files += min(len(parts), 2 + 4 * size // limit)
    uploads = count_uploads(assembly.export) * UPLOAD_BYTES
    return first + files * LISTING_BYTES + uploads, other + files * NAME_BYTES


def _described(assembly: Assembly) -> Iterator[Listing]:
    """Yield a listing for each content, with its description and without its facts."""
    for number, content in enumerate(assembly.export.contents):
        kind, context = writer(content.format), context_of(assembly.export, number)
        described = (kind.about(context), kind.table(context))
        yield Listing(number, context.name, content.format, 0, 0, 0, "", 1, None, *described)


def _packed_size(texts: dict[str, str]) -> int:
    return 2 * ENTRY + sum(ENTRY + len(segment(text.encode())[0]) for text in texts.values())
