from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("me/", include("exports.urls")),
    path("api/", include("exports.api_urls")),
    path("admin/", admin.site.urls),
]
