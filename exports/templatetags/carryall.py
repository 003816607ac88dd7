"""Tags for the site's own pages: `{% load carryall %}`."""

from __future__ import annotations

import logging
from typing import Any

from django import template
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.template import Context, Node, NodeList
from django.template.base import Parser, Token
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from exports.datasets import datasets
from exports.datasets.texts import as_text
from exports.errors import BadPeriod, BadRequest
from exports.formats import formats
from exports.models.period import PeriodChoice
from exports.web.forms import PARAM
from notifications.bell import Bell

register = template.Library()
logger = logging.getLogger(__name__)


@register.simple_tag(takes_context=True)
def export_button(
    context: Context,
    dataset: str,
    *,
    label: str = "",
    format: str = "",  # noqa: A002 - the option's name
    period: str = "",
    **params: Any,
) -> str:
    """Render a button that leads to the export form with these choices, or exports at once if `format` is given.

    `period` is a PeriodChoice; each other keyword is a parameter of the dataset: a value, or a list of several. Empty
    ones are left out. Renders nothing for users who may not export the dataset. An unknown dataset, format or period
    raises BadRequest if DEBUG is on; else it is logged, and nothing is rendered.
    """
    user = _user(context)
    if user is None or not _may_export(user, dataset, format, period):
        return ""
    choices = {"dataset": dataset, "format": format, "period": period}
    choices |= {f"{PARAM}{name}": value for name, value in params.items()}
    sent = [(name, text) for name, value in choices.items() for text in _texts(value)]
    page = reverse("exports:list")
    return _render(
        context,
        "exports/_button.html",
        dataset_label=datasets.get(dataset).label,
        label=label or _("Export"),
        press_url=page if format else "",
        form_url=f"{page}?{urlencode(sent)}",
        sent=sent,
    )


def _texts(value: Any) -> list[str]:
    """Return a value, or each of several, as it is sent. Empty ones are left out."""
    values = value if isinstance(value, list | tuple) else [value]
    return [as_text(each) for each in values if each not in ("", None)]


def _may_export(user: AbstractBaseUser, dataset: str, format_key: str, period: str) -> bool:
    try:
        chosen = datasets.get(dataset)
        if format_key:
            formats.get(format_key)
        if period and period not in PeriodChoice.values:
            raise BadPeriod(f"There is no period {period!r}. Choose one of: {', '.join(PeriodChoice.values)}.")
    except BadRequest as error:
        if settings.DEBUG:
            raise
        logger.error("An {%% export_button %%} is left out of a page. %s", error.message)
        return False
    try:
        return chosen.permitted(user)
    except Exception:
        logger.exception("The permission check of dataset %s failed for user %s.", dataset, user.pk)
        return False


@register.simple_tag(takes_context=True)
def carryall_bell(context: Context) -> str:
    """Render the bell with the latest notifications of the user, or nothing for anonymous users."""
    user = _user(context)
    return "" if user is None else _render(context, "exports/_bell.html", bell=Bell(user.pk))


def _user(context: Context) -> AbstractBaseUser | None:
    """Return the signed-in user of the request, or None. It needs no context processor."""
    request = getattr(context, "request", None) or context.get("request")
    user = getattr(request, "user", None)  # missing on a page rendered before the authentication middleware
    return user if user is not None and user.is_authenticated else None


def _render(context: Context, name: str, **values: Any) -> str:
    assert context.template is not None
    with context.push(**values):
        return context.template.engine.get_template(name).render(context)


class _Page(Node):
    def __init__(self, nodelist: NodeList) -> None:
        self.nodelist = nodelist

    def render(self, context: Context) -> str:
        with context.push(**context["carryall"]):
            return self.nodelist.render(context)


@register.tag
def carryall_page(parser: Parser, token: Token) -> Node:
    """Open the variables of a page of ours for the blocks inside it. Only exports/base.html needs this."""
    nodelist = parser.parse(("endcarryall_page",))
    parser.delete_first_token()
    return _Page(nodelist)
