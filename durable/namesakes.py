"""Find packages that have the name of an app of Carryall, but are another's: the names are ordinary words."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from durable import DISTRIBUTION

APPS = ("durable", "notifications", "exports")


def refuse_namesakes() -> None:
    """Raise ImproperlyConfigured if Python finds another package under the name of one of our apps.

    Each of ours names its distribution. The place alone does not tell: pip installs two packages of the same name into
    the same folder, one over the other.
    """
    for name in APPS:
        found = import_module(name)
        if getattr(found, "DISTRIBUTION", "") != DISTRIBUTION:
            where = getattr(found, "__file__", None) or found.__path__[0]
            raise ImproperlyConfigured(
                f"The package {name!r} in {where} is not Carryall's: rename that package, or uninstall it and run "
                f"`pip install --force-reinstall --no-deps {DISTRIBUTION}` (docs/how-to/install.md#names-that-clash)."
            )


def foreign_modules() -> list[Path]:
    """Return the modules in the folders of our apps that were not installed with them; [] in a checkout."""
    try:
        installed = {Path(str(file.locate())) for file in distribution(DISTRIBUTION).files or ()}
    except PackageNotFoundError:
        return []
    folder = Path(__file__).parent.parent
    if Path(__file__) not in installed:
        return []
    return sorted(path for name in APPS for path in (folder / name).rglob("*.py") if path not in installed)
