"""A user model as in Django's documentation, and further from the usual one than most: see `Person`."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models


class People(BaseUserManager["Person"]):
    def create_superuser(self, login: str, mailbox: str, password: str) -> Person:
        person = self.model(login=login, mailbox=mailbox, is_admin=True)
        person.set_password(password)
        person.save()
        return person


class Person(AbstractBaseUser):
    """A user with a UUID as key, and without the fields username, email, is_staff, is_active and names."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    login = models.CharField(max_length=60, unique=True)
    mailbox = models.EmailField()
    is_admin = models.BooleanField(default=False)

    USERNAME_FIELD = "login"
    EMAIL_FIELD = "mailbox"
    REQUIRED_FIELDS: ClassVar = ["mailbox"]

    objects: ClassVar[People] = People()

    def __str__(self) -> str:
        return self.login

    @property
    def is_staff(self) -> bool:
        return self.is_admin

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        return self.is_admin

    def has_module_perms(self, app_label: str) -> bool:
        return self.is_admin


class Purchase(models.Model):
    person = models.ForeignKey(Person, on_delete=models.CASCADE)
    item = models.CharField(max_length=100)
    price = models.DecimalField(max_digits=8, decimal_places=2)

    def __str__(self) -> str:
        return self.item
