"""File formats of exports. Each module of this package registers one format."""

from collections.abc import Iterable, Mapping
from importlib import import_module
from pkgutil import iter_modules

from durable.registry import Registry
from exports.datasets import Row
from exports.errors import UnknownFormat
from exports.formats.base import Format, Framed, Kind, OpenPart, Option, RenderContext, Share, Written

formats: Registry[Kind] = Registry("format", UnknownFormat)
register = formats.register
register_with = formats.register_with


def writers() -> list[Format]:
    """Return the formats that hold rows: all except the bundle, which holds files of other formats."""
    return [kind for kind in formats if isinstance(kind, Format)]


def writer(key: str) -> Format:
    """Return the format with this key. Raises UnknownFormat for an unknown key and for the bundle."""
    kind = formats.get(key)
    if not isinstance(kind, Format):
        known = ", ".join(each.key for each in writers())
        raise UnknownFormat(f"{kind.label} holds files of other formats. Choose one of: {known}.")
    return kind


def bundle() -> Kind:
    """Return the bundle, which holds files of the other formats."""
    return next(kind for kind in formats if not isinstance(kind, Format))


def options_of(kinds: Iterable[Kind]) -> dict[str, Option]:
    """Return the options of `kinds` by name. Options with the same name are merged: the form shows them once."""
    return {option.name: option for kind in kinds for option in kind.options}


def current(kinds: Iterable[Kind], options: Mapping[str, str]) -> dict[str, str]:
    """Translate `options`, which an earlier version may have stored, to the current names and values."""
    for kind in kinds:
        options = kind.current(options)
    return dict(options)


def content_type_of(filename: str) -> str:
    """Return the content type for the file's extension, which may differ from that of its format: a workbook with
    texts too long for its cells is delivered as a ZIP archive.
    """
    extension = filename.rpartition(".")[2]
    for kind in formats:
        types = {kind.extension: kind.content_type, **kind.further_types}
        if extension in types:
            return types[extension]
    return "application/octet-stream"


def load_builtin() -> None:
    """Import each module of this package, so that it registers its format. A new format only needs a new module."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")


__all__ = [
    "Format",
    "Framed",
    "Kind",
    "OpenPart",
    "Option",
    "RenderContext",
    "Row",
    "Share",
    "Written",
    "bundle",
    "content_type_of",
    "current",
    "formats",
    "load_builtin",
    "options_of",
    "register",
    "register_with",
    "writer",
    "writers",
]
