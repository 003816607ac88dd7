"""URLs of the pages: `path("me/", include("exports.urls"))`. Those of the API are in exports/api_urls.py."""

from django.urls import include, path

from exports.web import views

exports = [
    path("", views.export_list, name="list"),
    path("rows/", views.open_rows, name="rows"),
    path("fields/", views.form_columns, name="fields"),
    path("estimate/", views.form_estimate, name="estimate"),
    path("<uuid:uuid>/", views.export_detail, name="detail"),
    path("<uuid:uuid>/progress/", views.export_progress, name="progress"),
    path("<uuid:uuid>/download/", views.export_download, name="download"),
    path("<uuid:uuid>/download/<int:number>/", views.export_download, name="download-volume"),
    path("<uuid:uuid>/cancel/", views.export_cancel, name="cancel"),
    path("<uuid:uuid>/retry/", views.export_retry, name="retry"),
]
urlpatterns = [
    path("exports/", include((exports, "exports"))),
    path("notifications/", include("notifications.urls")),
]
