"""Assembly of a bundle: put the files of its datasets into volumes, complete the volumes and store them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

from django.utils import timezone

from exports.formats.assembly import Assembled, Assembly, File
from exports.formats.context import entries_at, folders, slug, stem
from exports.formats.deflate import segment
from exports.formats.zip import limit_of
from exports.formats.zip.entries import ENTRY, bundle_files
from exports.formats.zip.manifest import Bound, Bundle, Listing
from exports.formats.zip.pages import Extras, previews
from exports.formats.zip.volumes import Volumes
from exports.models import Export
from exports.storage import artifacts

LISTING_BYTES = 400
"""Compressed size of the entries for a file and its volume in the manifest, the page and SHA256SUMS.txt. Most of it is
checksums."""

NAME_BYTES = 60
"""Maximum compressed size of a volume's name in a README."""


def bundled(assembly: Assembly) -> Assembled:
    """Assemble and store a bundle: its files in one volume, or in volumes of the chosen size."""
    export, created = assembly.export, timezone.now()
    limit = limit_of(export.options)
    extras = Extras(previews(assembly))
    blank = Bundle(export, created, [], [Bound(1, _volume_name(export, 1, 2))] * 2, limit)
    room = (0, 0) if limit is None else _reserved(assembly, extras, blank, limit)
    with Volumes(assembly.folder, entries_at(export), limit, *room) as volumes:
        files = list(_fill(assembly, volumes))
        made = _finish_and_store(assembly, volumes, extras, replace(blank, files=files))
    pages = [file.pages for file in files if file.pages is not None]
    return Assembled(made, sum(file.rows or 0 for file in files), sum(pages) if pages else None)


def _fill(assembly: Assembly, volumes: Volumes) -> Iterator[Listing]:
    """Put every file into a volume, and yield its listing."""
    places = folders(assembly.export.datasets)
    for number, content in enumerate(assembly.export.contents):
        with closing(bundle_files(assembly, number, volumes.capacity)) as files:
            for file in files:
                volume = volumes.volume_for(file)
                written, (own, *side_files) = volume.put(file, f"{places[content.dataset]}/")
                position = len(volumes.all)
                facts = (content.format, written.rows, written.pages, own.size, own.sha256, position)
                yield Listing(number, own.name, *facts, file.context.share, file.kind.about(file.context))
                for more in side_files:
                    yield Listing(number, more.name, "", None, None, more.size, more.sha256, position)


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
    first, other = (_packed_size(texts) for texts in (extras.of_first(blank), extras.of_other(blank, blank.volumes[0])))
    files = 0
    for number, _ in enumerate(assembly.export.contents):
        parts = assembly.parts(number)
        size = sum(part.size or 0 for part in parts)
        files += min(len(parts), 2 + 4 * size // limit)
    return first + files * LISTING_BYTES, other + files * NAME_BYTES


def _packed_size(texts: dict[str, str]) -> int:
    return 2 * ENTRY + sum(ENTRY + len(segment(text.encode())[0]) for text in texts.values())
