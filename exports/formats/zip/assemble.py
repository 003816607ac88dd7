"""Assemble a bundle: put the files of its datasets into volumes, complete them, and store them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

from django.utils import timezone

from exports.formats.assembly import Assembled, Assembly, File
from exports.formats.context import entries_at, folders, slug, stem
from exports.formats.deflate import segment
from exports.formats.zip import limit_of
from exports.formats.zip.entries import ENTRY, pieces
from exports.formats.zip.manifest import Bound, Bundle, Listing
from exports.formats.zip.pages import Extras, previews
from exports.formats.zip.volumes import Shelf
from exports.models import Export
from exports.storage import artifacts

TOLD = 400
"""Bytes that a file and its volume take in the manifest, on the page and in the sums, packed: most of it checksums."""

NAMED = 60
"""Bytes that a volume's name takes in a README, packed, at most."""


def bundled(assembly: Assembly) -> Assembled:
    """A bundle: its files in one volume, or in as many as the chosen size wants."""
    export, created = assembly.export, timezone.now()
    limit = limit_of(export.options)
    extras = Extras(previews(assembly))
    blank = Bundle(export, created, [], [Bound(1, _volume_name(export, 1, 2))] * 2, limit)
    room = (0, 0) if limit is None else _kept_free(assembly, extras, blank, limit)
    with Shelf(assembly.folder, entries_at(export), limit, *room) as shelf:
        files = list(_filled(assembly, shelf))
        made = _stored(assembly, shelf, extras, replace(blank, files=files))
    pages = [file.pages for file in files if file.pages is not None]
    return Assembled(made, sum(file.rows or 0 for file in files), sum(pages) if pages else None)


def _filled(assembly: Assembly, shelf: Shelf) -> Iterator[Listing]:
    """Put every file into a volume."""
    places = folders(assembly.export.datasets)
    for number, content in enumerate(assembly.export.contents):
        with closing(pieces(assembly, number, shelf.capacity)) as found:
            for piece in found:
                box = shelf.box_for(piece)
                written, (own, *beside) = box.put(piece, f"{places[content.dataset]}/")
                volume = len(shelf.boxes)
                told = (content.format, written.rows, written.pages, own.size, own.sha256, volume)
                yield Listing(number, own.name, *told, piece.context.share, piece.kind.about(piece.context))
                for more in beside:
                    yield Listing(number, more.name, "", None, None, more.size, more.sha256, volume)


def _stored(assembly: Assembly, shelf: Shelf, extras: Extras, bundle: Bundle) -> list[File]:
    """Complete the volumes and store them: the first one last, for it tells the checksums of the others."""
    names = [_volume_name(bundle.export, number, len(shelf.boxes)) for number in range(1, len(shelf.boxes) + 1)]
    bounds = [
        Bound(number, name, oversize=box.oversize)
        for (number, name), box in zip(enumerate(names, 1), shelf.boxes, strict=True)
    ]
    stored: list[artifacts.Stored] = []
    try:
        for place, box in reversed(list(enumerate(shelf.boxes))):
            told = replace(bundle, volumes=bounds)
            box.finish(extras.of_other(told, bounds[place]) if place else extras.of_first(told))
            with box.path.open("rb") as file:
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


def _kept_free(assembly: Assembly, extras: Extras, blank: Bundle, limit: int) -> tuple[int, int]:
    """Bytes that the first volume and each other one need for what is added at the end, at most."""
    first, other = (_packed(texts) for texts in (extras.of_first(blank), extras.of_other(blank, blank.volumes[0])))
    files = 0
    for number, _ in enumerate(assembly.export.contents):
        parts = assembly.parts(number)
        size = sum(part.size or 0 for part in parts)
        files += min(len(parts), 2 + 4 * size // limit)
    return first + files * TOLD, other + files * NAMED


def _packed(texts: dict[str, str]) -> int:
    return 2 * ENTRY + sum(ENTRY + len(segment(text.encode())[0]) for text in texts.values())
