"""Formats: what an export can be written as. Each module of this package registers one."""

from importlib import import_module
from pkgutil import iter_modules

from exports.errors import UnknownFormat
from exports.formats.base import Format, RenderContext, Row, Written
from exports.registry import Registry

formats: Registry[Format] = Registry("format", UnknownFormat)
register = formats.register


def load_builtin() -> None:
    """Import each module of this package, so that it registers its format: a new one is a new file and nothing else."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")


__all__ = ["Format", "RenderContext", "Row", "Written", "formats", "load_builtin", "register"]
