"""Model fields for tables that must work in any site: moments in any time zone setting, users in any database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import models, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.deletion import CASCADE, Collector
from django.db.models.fields.related_descriptors import ForwardManyToOneDescriptor
from django.utils import timezone


class UTCDateTimeField(models.DateTimeField):  # type: ignore[type-arg]
    """A date-time that the database stores in UTC and Python sees as aware, also in a site with USE_TZ=False.

    The column is that of a DateTimeField. With USE_TZ=False, values have the time zone of TIME_ZONE, in which the
    pages of such a site show them. A naive value is a local time of TIME_ZONE.
    """

    def get_prep_value(self, value: Any) -> Any:
        value = super().get_prep_value(value)
        if isinstance(value, datetime) and timezone.is_naive(value):
            return value.replace(tzinfo=timezone.get_default_timezone())
        return value

    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> Any:
        if not prepared:
            value = self.get_prep_value(value)
        if isinstance(value, datetime) and connection.vendor != "postgresql":  # the others store no time zone
            value = value.astimezone(UTC).replace(tzinfo=None)
        return connection.ops.adapt_datetimefield_value(value)

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> datetime | None:
        if value is None or timezone.is_aware(value):
            return value  # type: ignore[no-any-return]
        local = timezone.get_default_timezone()
        if connection.vendor == "postgresql":  # a local time, whose `fold` says which of two in autumn it is
            return value.replace(tzinfo=local)  # type: ignore[no-any-return]
        return value.replace(tzinfo=UTC).astimezone(local)  # type: ignore[no-any-return]


class _UserDescriptor(ForwardManyToOneDescriptor):  # type: ignore[type-arg]
    """Loads the user from the users' own database, and accepts one from there.

    Django would load it from that of the row, unless the site's router decides otherwise, and refuse another's.
    """

    def get_queryset(self, **hints: Any) -> models.QuerySet[Any]:
        users: models.QuerySet[Any] = super().get_queryset(**hints)
        return users.using(router.db_for_write(get_user_model()))

    def __set__(self, instance: models.Model, value: Any) -> None:
        if isinstance(value, get_user_model()):
            setattr(instance, self.field.attname, value.pk)
            self.field.set_cached_value(instance, value)
        else:
            super().__set__(instance, value)


class UserForeignKey(models.ForeignKey):  # type: ignore[type-arg]
    """A foreign key to the site's user model that also works if the users are in another database.

    It adds nothing to the user model (`related_name="+"`), has no constraint in the database, and rows are deleted with
    their user. A row may outlive its user, so reading the user may raise DoesNotExist. Do not use it in joins.
    """

    forward_related_accessor_class = _UserDescriptor

    def __init__(self, to: Any = settings.AUTH_USER_MODEL, on_delete: Any = None, **options: Any) -> None:
        ours: dict[str, Any] = {"related_name": "+", "db_constraint": False}
        super().__init__(to, on_delete or delete_with_user, **ours | options)


class _Later:
    """Rows of another database that a Collector deletes with the user, after the user's transaction commits."""

    def __init__(self, rows: models.QuerySet[Any]) -> None:
        self.model = rows.model
        self._rows = rows

    def _raw_delete(self, using: str) -> int:
        transaction.on_commit(self._rows.delete, using=using, robust=True)
        return 0


def delete_with_user(collector: Collector, field: models.ForeignKey[Any, Any], rows: Any, using: str) -> None:
    """The `on_delete` of a UserForeignKey: CASCADE within one database, else a deletion after the user's commit."""
    ours = router.db_for_write(field.model)
    if ours == using:
        CASCADE(collector, field, rows, using)
    else:
        collector.fast_deletes.append(_Later(rows.using(ours)))  # type: ignore[arg-type]


delete_with_user.lazy_sub_objs = True  # type: ignore[attr-defined]  # do not query our table in the users' database
