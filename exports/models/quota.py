"""The recent requests of an owner, and the lock that serialises them."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from durable.clock import Now
from durable.databases import PrimaryQuerySet
from durable.fields import UserForeignKey, UTCDateTimeField


class OwnerLock(models.Model):
    """One row for each owner, which their requests lock: no row of the site's own is locked."""

    owner = UserForeignKey(db_index=False)

    objects: ClassVar[PrimaryQuerySet[OwnerLock]] = PrimaryQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("lock of an owner")
        verbose_name_plural = _("locks of owners")
        constraints: ClassVar = [models.UniqueConstraint(fields=["owner"], name="owner_lock_once")]

    def __str__(self) -> str:
        return f"lock of user {self.owner_id}"


class QuotaUse(models.Model):
    """One request or retry, counted against its owner's hourly limit. Older rows are deleted at the next one."""

    owner = UserForeignKey(db_index=False)
    used_at = UTCDateTimeField(db_default=Now(), editable=False)

    objects: ClassVar[PrimaryQuerySet[QuotaUse]] = PrimaryQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("use of a quota")
        verbose_name_plural = _("uses of quotas")
        indexes: ClassVar = [models.Index(fields=["owner", "used_at"], name="quota_use_of_owner")]

    def __str__(self) -> str:
        return f"request or retry of user {self.owner_id}"
