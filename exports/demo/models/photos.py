"""Product photos: after an upload, a group of jobs makes the thumbnails. Then the photo is published."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.core.files.base import ContentFile
from django.db import models, transaction

from durable.clock import Now
from durable.jobs import Job
from durable.lease import Lease
from exports.demo.pictures import BadPicture, thumbnail

SIZES = (160, 480, 1200)
"""The largest side of each thumbnail, in pixels."""


class Photo(models.Model):
    """An uploaded picture of a product. It is published once all thumbnails are made."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="photos")
    title = models.CharField(max_length=120)
    image = models.FileField("picture", upload_to="photos")
    uploaded_at = models.DateTimeField(auto_now_add=True)
    published_at = models.DateTimeField(null=True, editable=False)

    def __str__(self) -> str:
        return self.title

    def add(self) -> None:
        """Save a new photo, with the jobs that make its thumbnails."""
        with transaction.atomic():
            self.save()
            Job.enqueue_group([Thumbnail(photo=self, side=side) for side in SIZES], then=Publication(photo=self))


class Thumbnail(Job):
    """One size of a photo, as WebP."""

    queue = "bulk"
    permanent = (BadPicture,)

    photo = models.ForeignKey(Photo, on_delete=models.CASCADE, related_name="thumbnails")
    side = models.PositiveSmallIntegerField()
    file = models.FileField(editable=False)

    class Meta(Job.Meta):
        constraints: ClassVar = [
            *Job.Meta.constraints,
            models.UniqueConstraint(fields=["photo", "side"], name="thumbnail_once"),
        ]

    @property
    def fault(self) -> str:
        """Why the last attempt failed, without the name of the error."""
        return self.reason.partition(": ")[2]

    def run(self, lease: Lease[Any]) -> dict[str, Any]:
        with self.photo.image.open() as file:
            picture = thumbnail(file.read(), self.side)
        storage, name = self.file.storage, f"thumbnails/{self.photo_id}-{self.side}.webp"
        storage.delete(name)  # that of an attempt that died after it wrote the file
        return {"file": storage.save(name, ContentFile(picture)), "bytes": len(picture)}

    def record(self, result: dict[str, Any]) -> None:
        type(self).objects.filter(pk=self.pk).update(file=result["file"])


class Publication(Job):
    """Publishes a photo. It follows the thumbnails."""

    photo = models.OneToOneField(Photo, on_delete=models.CASCADE)

    def run(self, lease: Lease[Any]) -> None:
        """Do nothing outside the database."""

    def record(self, result: dict[str, Any]) -> None:
        Photo.objects.filter(pk=self.photo_id).update(published_at=Now())
