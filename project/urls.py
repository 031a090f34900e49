"""URLconf of the site."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

admin.site.site_header = admin.site.site_title = "Holdfast"
admin.site.index_title = "Site administration"

handler500 = "project.errors.server_error"

urlpatterns = [
    path("login/", LoginView.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
    path("", include("sessions_app.urls")),
]
