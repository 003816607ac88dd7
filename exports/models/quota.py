"""QuotaUse: the recent requests of an owner."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class QuotaUse(models.Model):
    """One request or retry, counted against its owner's hourly limit. Older rows are deleted at the next one."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_index=False)
    used_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("use of a quota")
        verbose_name_plural = _("uses of quotas")
        indexes: ClassVar = [models.Index(fields=["owner", "used_at"], name="quota_use_of_owner")]

    def __str__(self) -> str:
        return f"request or retry of user {self.owner_id}"
