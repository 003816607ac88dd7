"""The site's addresses, with the admin at another one."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [path("backstage/", admin.site.urls), path("", include("config.urls"))]
