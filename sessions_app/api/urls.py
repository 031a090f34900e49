"""The REST API's addresses, below `/api/`."""

from django.urls import include, path, re_path
from rest_framework.routers import SimpleRouter

from sessions_app.api.views import NoSuchAddress, PolicyViewSet, SessionViewSet

router = SimpleRouter()
router.register("sessions", SessionViewSet, basename="session")
router.register("policies", PolicyViewSet, basename="policy")

urlpatterns = [
    path("", include(router.urls)),
    re_path("", NoSuchAddress.as_view()),
]
