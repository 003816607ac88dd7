"""The form of preferences: a checkbox for each kind and channel."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

from notifications.channels import channels
from notifications.kinds import Kind, kinds
from notifications.models import Preference


class PreferencesForm(forms.Form):
    """Form of the kinds and channels that `user` has enabled. Without a preference, it shows the kind's default."""

    def __init__(self, user: AbstractBaseUser | AnonymousUser, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        assert user.pk is not None, "the user must be signed in"
        self._user_pk = user.pk
        staff = getattr(user, "is_staff", False)
        self.kinds = [kind for kind in kinds if staff or not kind.staff_only]
        self.channels = list(channels)
        chosen = {(row.kind, row.channel): row.enabled for row in Preference.objects.filter(user_id=self._user_pk)}
        for kind in self.kinds:
            for channel in self.channels:
                default = chosen.get((kind.key, channel.key), channel.key in kind.default_channels)
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
