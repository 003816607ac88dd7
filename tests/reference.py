"""Write docs/reference/*.md from the code: `make reference`. A test compares the pages with the code.

The texts are docstrings, messages and hints, so they are written for readers of both.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, Field, fields
from datetime import timedelta
from pathlib import Path
from textwrap import dedent
from typing import Any

import django

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "reference"
NOTE = "<!-- Written by `make reference`. Change the code, not this page. -->"
APPS = ("durable", "notifications", "exports")


def pages() -> dict[str, str]:
    """Return the text of each page by file name."""
    makers: dict[str, Callable[[], str]] = {
        "settings.md": settings_page,
        "checks.md": checks_page,
        "errors.md": errors_page,
        "commands.md": commands_page,
    }
    return {name: f"{NOTE}\n\n{make().strip()}\n" for name, make in makers.items()}


def table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [headings, tuple("---" for _ in headings), *rows]
    return "\n".join("| " + " | ".join(_cell(text) for text in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


# --- settings -------------------------------------------------------------------------------------------------------

SETTINGS = """
# Settings

All settings are keys of one dict in the settings of your site. Only `SITE_URL` is required.

```python
CARRYALL = {"SITE_URL": "https://shop.example", "KEEP_DAYS": 14}
```

`manage.py check` reports unknown keys and wrong values.
"""
HEADINGS = {
    "exports": "Exports and their files",
    "notifications": "Notifications",
    "durable": "Leased work: how workers claim, renew and retry rows",
}


def settings_page() -> str:
    from durable.conf import declared_settings

    parts = [SETTINGS]
    found = {declared.__module__.partition(".")[0]: declared for declared in declared_settings()}
    for app, heading in HEADINGS.items():
        texts = _attribute_docs(found[app])
        rows = [
            (f"`{field.name.upper()}`", f"`{_default(field)}`", texts.get(field.name, ""))
            for field in fields(found[app])
        ]
        parts.append(f"## {heading}\n\n{table(('key', 'default', ''), rows)}\n")
    return "\n".join(parts)


def _default(field: Field[Any]) -> str:
    value = field.default if field.default_factory is MISSING else field.default_factory()
    if isinstance(value, timedelta):
        hours = value.total_seconds() / 3600
        return f"timedelta(hours={hours:g})"
    if isinstance(value, Path):
        return f"BASE_DIR / {str(value.relative_to(ROOT))!r}"
    return repr(value)


def _attribute_docs(declared: type) -> dict[str, str]:
    """Return the string that follows each attribute of a class."""
    [definition] = ast.parse(dedent(inspect.getsource(declared))).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for line, following in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and (text := _text(following)):
            found[line.target.id] = text
    return found


def _text(line: ast.stmt) -> str:
    return line.value.value if isinstance(line, ast.Expr) and _is_text(line.value) else ""  # type: ignore[attr-defined]


def _is_text(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


# --- checks ---------------------------------------------------------------------------------------------------------

CHECKS = """
# System checks

`manage.py check` runs these, and so do `migrate` and `runserver`. Errors (E) stop them; warnings (W) do not.
`SILENCED_SYSTEM_CHECKS` silences them by id.
"""


def checks_page() -> str:
    rows = sorted(row for app in APPS for row in _checks_in(_source_of(f"{app}.checks")))
    return f"{CHECKS}\n{table(('id', 'it reports', 'how to fix it'), rows)}\n"


def _checks_in(tree: ast.Module) -> Iterator[tuple[str, str, str]]:
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        given = {word.arg: word.value for word in call.keywords}
        name = getattr(call.func, "id", "")
        if name in ("Error", "Warning") and _is_text(given.get("id")):
            yield f"`{ast.literal_eval(given['id'])}`", _words(call.args[0]), _words(given.get("hint"))


def _words(node: ast.expr | None) -> str:
    """Return a string expression as text, with `...` for what is filled in."""
    if node is None:
        return ""
    if _is_text(node):
        return str(node.value)  # type: ignore[attr-defined]
    if isinstance(node, ast.JoinedStr):
        return "".join(_words(each) for each in node.values)
    if isinstance(node, ast.IfExp):
        return _words(node.orelse)
    if isinstance(node, ast.BinOp):
        return _words(node.left) + _words(node.right)
    return "..."


def _source_of(module: str) -> ast.Module:
    return ast.parse((ROOT / (module.replace(".", "/") + ".py")).read_text())


# --- errors ---------------------------------------------------------------------------------------------------------

ERRORS = """
# Errors

A request that is refused, and an export that fails, has one of these codes: in the answers of the API, in
`Export.error_code`, and in the log. "Retried" means that workers try again by themselves before the export fails.
"""


def errors_page() -> str:
    import exports.web.downloads  # noqa: F401 - it defines errors
    from exports.errors import ExportError
    from exports.web.responses import status_for

    rows = sorted(
        (f"`{error.code}`", str(status_for(error)), "yes" if error.retryable else "", _about(error))
        for error in _all_of(ExportError)
        if error.__module__.startswith("exports.")
    )
    return f"{ERRORS}\n{table(('code', 'status', 'retried', ''), rows)}\n"


def _all_of(error: type[Any]) -> Iterator[type[Any]]:
    for each in error.__subclasses__():
        yield each
        yield from _all_of(each)


def _about(error: type[Any]) -> str:
    text = error.__dict__.get("__doc__") or str(error.default)
    return re.split(r"\n\n", inspect.cleandoc(text))[0]


# --- commands -------------------------------------------------------------------------------------------------------

COMMANDS = """
# Commands

Each is a command of `manage.py`; `--help` lists Django's own options too.
"""
DJANGOS = {
    "help", "version", "verbosity", "settings", "pythonpath", "traceback", "no_color", "force_color", "skip_checks",
}  # fmt: skip


def commands_page() -> str:
    from django.core.management import get_commands, load_command_class

    parts = [COMMANDS]
    for name, app in sorted(get_commands().items()):
        if app not in APPS or name in ("shell", "state_diagram"):
            continue
        command = load_command_class(app, name)
        parser = command.create_parser("manage.py", name)
        rows = [_option(action) for action in parser._actions if action.dest not in DJANGOS]
        parts.append(f"## {name}\n\n{command.help}\n\n" + (table(("option", ""), rows) + "\n" if rows else ""))
    return "\n".join(parts)


def _option(action: argparse.Action) -> tuple[str, str]:
    if not action.option_strings:
        return f"`{action.dest}`", str(action.help or "")
    value = "" if action.nargs == 0 else f" {action.metavar or '{' + ','.join(map(str, action.choices or ())) + '}'}"
    return f"`{action.option_strings[-1]}{value}`", str(action.help or "")


def main() -> None:
    for name, text in pages().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    main()
