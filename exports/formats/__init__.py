"""Formats: what an export can be written as. Each module of this package registers one."""

from collections.abc import Iterable, Mapping
from importlib import import_module
from pkgutil import iter_modules

from durable.registry import Registry
from exports.datasets import Row
from exports.errors import UnknownFormat
from exports.formats.base import Format, Framed, Kind, OpenPart, Option, RenderContext, Share, Written

formats: Registry[Kind] = Registry("format", UnknownFormat)
register = formats.register


def writers() -> list[Format]:
    """The formats that hold rows: all but the bundle, which holds files of them."""
    return [kind for kind in formats if isinstance(kind, Format)]


def writer(key: str) -> Format:
    """The format of `key`. Raises UnknownFormat for what is none, and for the bundle."""
    kind = formats.get(key)
    if not isinstance(kind, Format):
        known = ", ".join(each.key for each in writers())
        raise UnknownFormat(f"{kind.label} holds files of other formats. Choose one of: {known}.")
    return kind


def options_of(kinds: Iterable[Kind]) -> dict[str, Option]:
    """The options of `kinds` by their names. Two that have one name are one question, asked once for both."""
    return {option.name: option for kind in kinds for option in kind.options}


def current(kinds: Iterable[Kind], options: Mapping[str, str]) -> dict[str, str]:
    """Options of `kinds` as this version names them."""
    for kind in kinds:
        options = kind.current(options)
    return dict(options)


def content_type_of(filename: str) -> str:
    """The content type of a file by its extension: what a format could not hold makes a ZIP of a workbook."""
    extension = filename.rpartition(".")[2]
    for kind in formats:
        types = {kind.extension: kind.content_type, **kind.further_types}
        if extension in types:
            return types[extension]
    return "application/octet-stream"


def load_builtin() -> None:
    """Import each module of this package, so that it registers its format: a new one is a new file and nothing else."""
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
    "content_type_of",
    "current",
    "formats",
    "load_builtin",
    "options_of",
    "register",
    "writer",
    "writers",
]
