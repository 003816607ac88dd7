"""The site's URLs, with the admin at another path."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [path("backstage/", admin.site.urls), path("", include("config.urls"))]
