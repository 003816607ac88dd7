"""Template filters and tags of the pages."""

from __future__ import annotations

from django import template
from django.conf import settings

from exports.formats import labels
from exports.web import humanize

register = template.Library()


register.filter("dataset_label", labels.dataset_label)
register.filter("format_label", labels.format_label)
register.filter("column_labels", labels.column_labels)
register.filter("inside_labels", labels.inside_labels)
register.filter("option_words", labels.option_words)
register.filter("duration", humanize.duration)
register.filter("rounded", humanize.rounded)


@register.simple_tag
def demo() -> bool:
    """Return whether this is the demo, whose sign-ins are public."""
    return bool(getattr(settings, "DEMO", False))
