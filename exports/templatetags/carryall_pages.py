"""Filters and tags of our own pages. They are not in the library `carryall`, which any page of the site may load."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from django import template
from django.apps import apps
from django.conf import settings
from django.contrib.humanize.templatetags.humanize import intcomma, naturalday
from django.template import Context
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import pgettext
from django_htmx.jinja import htmx_script

from exports.formats import labels
from exports.web import humanize
from notifications import dates

register = template.Library()

register.filter("owner_label", labels.owner_label)
register.filter("dataset_label", labels.dataset_label)
register.filter("format_label", labels.format_label)
register.filter("column_labels", labels.column_labels)
register.filter("inside_labels", labels.inside_labels)
register.filter("option_words", labels.option_words)
register.filter("filter_words", labels.filter_words)
register.filter("filter_line", labels.filter_line)
register.filter("duration", humanize.duration)
register.filter("rounded", humanize.rounded)
register.filter("intcomma", intcomma, is_safe=True)
register.filter("moment", dates.moment, expects_localtime=True)


@register.filter(expects_localtime=True)
def short_day(value: datetime) -> str:
    """Return "today", "yesterday" or "tomorrow", or the day in a short form."""
    return str(naturalday(value, "j M Y" if dates.is_english() else "SHORT_DATE_FORMAT"))


@register.simple_tag
def language_attributes() -> SafeString:
    """Return the attributes `lang` and `dir` of what is shown: English, if there is no translation."""
    code = pgettext("code of the language of this translation, such as de", "en")
    direction = "rtl" if code.split("-")[0] in settings.LANGUAGES_BIDI else "ltr"
    return format_html('lang="{}" dir="{}"', code, direction)


@register.simple_tag(takes_context=True)
def nonce_attribute(context: Context) -> SafeString:
    """Return the attribute `nonce`, if a context processor of the site gives one for its Content Security Policy."""
    nonce = context.get("csp_nonce") or context.get("CSP_NONCE")
    return format_html(' nonce="{}"', nonce) if nonce else mark_safe("")


@register.simple_tag
def htmx_url() -> str:
    """Return the URL of the htmx of django_htmx, or "" if that app is not installed."""
    if not apps.is_installed("django_htmx"):
        return ""
    found: Any = re.search(r'src="([^"]+)"', htmx_script())
    return str(found[1])
