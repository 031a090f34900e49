"""The REST API's addresses, below `/api/`."""

from asgiref.sync import sync_to_async
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import include, path, re_path
from django.views.decorators.csrf import csrf_exempt
from rest_framework.routers import SimpleRouter

from sessions_app.api import schema
from sessions_app.api.schema import described
from sessions_app.api.views import NoSuchAddress, PolicyViewSet, SessionViewSet, TokenViewSet
from sessions_app.transports import http_views

router = SimpleRouter()
router.register("sessions", SessionViewSet, basename="session")
router.register("policies", PolicyViewSet, basename="policy")
router.register("tokens", TokenViewSet, basename="token")

_read_signals = sync_to_async(SessionViewSet.as_view({"get": "signals"}, detail=True))


@csrf_exempt  # each of the two enforces it, and refuses in the API's form
async def signals(request: HttpRequest, pk: str) -> HttpResponseBase:
    """`/api/sessions/<id>/signals/`: one address, two views.

    Sending waits in the event loop for its receipt; reading is the REST framework's, in a thread.
    """
    if request.method in ("GET", "HEAD"):
        return await _read_signals(request, pk=pk)
    return await http_views.signal(request, session=pk)


urlpatterns = [
    path("stream/", described(http_views.stream, "post", schema.STREAM)),
    path("poll/", described(http_views.poll, "post", schema.POLL)),
    path("sessions/<str:session>/stream/", described(http_views.session_stream, "get", schema.SESSION_STREAM)),
    path("sessions/<str:session>/poll/", described(http_views.session_poll, "get", schema.SESSION_POLL)),
    # Before the router's, which only describes reading; its parameter has the router's name.
    path("sessions/<str:pk>/signals/", described(signals, "post", schema.SIGNAL)),
    path("sessions/<str:session>/publish/", described(http_views.publish, "post", schema.PUBLISH)),
    path("beat/", described(http_views.beat, "post", schema.BEAT)),
    path("", include(router.urls)),
    re_path("", NoSuchAddress.as_view()),
]
