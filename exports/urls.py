"""URLs of the exports app: the pages, and the JSON API under /api/."""

from django.urls import path

from exports.web import api, views

app_name = "exports"
urlpatterns = [
    path("exports/", views.export_list, name="list"),
    path("exports/rows/", views.open_rows, name="rows"),
    path("exports/fields/", views.form_columns, name="fields"),
    path("exports/estimate/", views.form_estimate, name="estimate"),
    path("exports/<uuid:uuid>/", views.export_detail, name="detail"),
    path("exports/<uuid:uuid>/progress/", views.export_progress, name="progress"),
    path("exports/<uuid:uuid>/download/", views.export_download, name="download"),
    path("exports/<uuid:uuid>/download/<int:number>/", views.export_download, name="download-volume"),
    path("exports/<uuid:uuid>/cancel/", views.export_cancel, name="cancel"),
    path("exports/<uuid:uuid>/retry/", views.export_retry, name="retry"),
    path("api/exports/", api.export_collection, name="api-list"),
    path("api/exports/estimate/", api.export_estimate, name="api-estimate"),
    path("api/exports/<uuid:uuid>/", api.export_item, name="api-detail"),
    path("api/exports/<uuid:uuid>/download/", api.export_download, name="api-download"),
    path("api/exports/<uuid:uuid>/download/<int:number>/", api.export_download, name="api-download-volume"),
    path("api/exports/<uuid:uuid>/cancel/", api.export_cancel, name="api-cancel"),
    path("api/exports/<uuid:uuid>/retry/", api.export_retry, name="api-retry"),
    path("api/<path:rest>", api.unknown_address, name="api-unknown"),
]
