"""The form of preferences: a checkbox for each kind and channel."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.utils.translation import gettext_lazy as _

from notifications.channels import channels
from notifications.kinds import Kind, kinds
from notifications.models import Preference, QuietHours


class PreferencesForm(forms.Form):
    """Form of the kinds and channels that `user` has enabled. Without a preference, it shows the kind's default."""

    def __init__(self, user: AbstractBaseUser | AnonymousUser, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"auto_id": "carryall-%s", **kwargs})
        assert not isinstance(user, AnonymousUser), "the user must be signed in"
        self._user_pk = user.pk
        staff = getattr(user, "is_staff", False)
        self.kinds = [kind for kind in kinds if not kind.required and (staff or not kind.staff_only)]
        self.channels = [channel for channel in channels if channel.offered(user)]
        chosen = {(row.kind, row.channel): row.enabled for row in Preference.objects.filter(user_id=self._user_pk)}
        for kind in self.kinds:
            for channel in self.channels:
                default = chosen.get((kind.key, channel.key), channel.on_by_default(kind))
                label = f"{kind.label}, {channel.label}"
                self.fields[_name(kind.key, channel.key)] = forms.BooleanField(
                    required=False,
                    initial=default,
                    label=label,
                    widget=forms.CheckboxInput({"aria-label": label}),
                )

    def rows(self) -> list[tuple[Kind, list[forms.BoundField]]]:
        """Return each kind with its checkboxes in the order of `channels`, for the table of the page."""
        return [(kind, [self[_name(kind.key, channel.key)] for channel in self.channels]) for kind in self.kinds]

    def save(self) -> None:
        """Save all preferences, one row per checkbox."""
        chosen = [
            Preference(
                user_id=self._user_pk,
                kind=kind.key,
                channel=channel.key,
                enabled=self.cleaned_data[_name(kind.key, channel.key)],
            )
            for kind in self.kinds
            for channel in self.channels
        ]
        Preference.objects.bulk_create(
            chosen,
            update_conflicts=True,
            update_fields=["enabled"],
            unique_fields=["user", "kind", "channel"],
        )


def _name(kind: str, channel: str) -> str:
    return f"{kind}-{channel}"


class QuietHoursForm(forms.Form):
    """Form of a user's quiet hours. Both fields empty mean none."""

    start = forms.TimeField(label=_("From"), required=False, widget=forms.TimeInput({"type": "time"}, "%H:%M"))
    end = forms.TimeField(label=_("Until"), required=False, widget=forms.TimeInput({"type": "time"}, "%H:%M"))

    def __init__(self, user_pk: Any, data: Any = None) -> None:
        hours = QuietHours.objects.of(user_pk).first()
        initial = {"start": hours.start, "end": hours.end} if hours else {}
        super().__init__(data, auto_id="carryall-quiet-%s", initial=initial)
        self._user_pk = user_pk

    def clean(self) -> dict[str, Any]:
        start, end = (self.cleaned_data.get(name) for name in ("start", "end"))
        if not self.errors and ((start is None) is not (end is None) or (start is not None and start == end)):
            raise forms.ValidationError(_("Enter two different times, or none."))
        return self.cleaned_data

    def save(self) -> None:
        mine = QuietHours.objects.of(self._user_pk)
        if self.cleaned_data["start"] is None:
            mine.delete()
        else:
            QuietHours.objects.update_or_create(user_id=self._user_pk, defaults=self.cleaned_data)
