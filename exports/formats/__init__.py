"""Formats: what an export can be written as. Each module of this package registers one."""

from importlib import import_module
from pkgutil import iter_modules

from exports.datasets import Row
from exports.errors import UnknownFormat
from exports.formats.base import Format, Framed, Kind, OpenPart, Option, RenderContext, Written
from exports.registry import Registry

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
    "Written",
    "formats",
    "load_builtin",
    "register",
    "writer",
    "writers",
]
