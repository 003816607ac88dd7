"""URLs of the JSON API: `path("api/", include("exports.api_urls"))`, under any prefix."""

from django.urls import path

from exports.web import api

app_name = "exports-api"
urlpatterns = [
    path("exports/", api.export_collection, name="list"),
    path("exports/estimate/", api.export_estimate, name="estimate"),
    path("exports/<uuid:uuid>/", api.export_item, name="detail"),
    path("exports/<uuid:uuid>/download/", api.export_download, name="download"),
    path("exports/<uuid:uuid>/download/<int:number>/", api.export_download, name="download-volume"),
    path("exports/<uuid:uuid>/cancel/", api.export_cancel, name="cancel"),
    path("exports/<uuid:uuid>/retry/", api.export_retry, name="retry"),
]
