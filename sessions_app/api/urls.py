"""The REST API's addresses, below `/api/`."""

from django.urls import include, path, re_path
from rest_framework.routers import SimpleRouter

from sessions_app import streaming
from sessions_app.api.views import NoSuchAddress, PolicyViewSet, SessionViewSet, TokenViewSet

router = SimpleRouter()
router.register("sessions", SessionViewSet, basename="session")
router.register("policies", PolicyViewSet, basename="policy")
router.register("tokens", TokenViewSet, basename="token")

urlpatterns = [
    path("stream/", streaming.stream),
    path("poll/", streaming.poll),
    path("sessions/<str:session>/stream/", streaming.session_stream),
    path("sessions/<str:session>/poll/", streaming.session_poll),
    path("sessions/<str:session>/signals/", streaming.signal),
    path("sessions/<str:session>/publish/", streaming.publish),
    path("beat/", streaming.beat),
    path("", include(router.urls)),
    re_path("", NoSuchAddress.as_view()),
]
