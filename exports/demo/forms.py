"""The form of a product photo."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from exports.demo.models import Photo
from exports.demo.pictures import FORMATS, BadPicture, check


class PhotoForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Photo
        fields = ("title", "image")
        help_texts = {"image": _("A JPEG, PNG or WebP file of up to 20 MB.")}  # noqa: RUF012
        widgets = {  # noqa: RUF012
            "image": forms.FileInput({"accept": ",".join(f"image/{name.lower()}" for name in FORMATS)}),
        }

    def clean_image(self) -> Any:
        image = self.cleaned_data["image"]
        try:
            check(image)
        except BadPicture as error:
            raise ValidationError(str(error)) from error
        return image
