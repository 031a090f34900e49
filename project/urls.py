"""The site's addresses."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from sessions_app.transports.http_views import upgrade_required
from sessions_app.views import page, restart

urlpatterns = [
    path("", page, name="page"),
    path("s/<str:session>/", page, name="conversation"),
    path("lab/restart/", restart, name="lab-restart"),
    path("login/", LoginView.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(template_name="holdfast/api_docs.html"), name="api-docs"),
    path("api/", include("sessions_app.api.urls")),
    path("ws/", upgrade_required),
]
