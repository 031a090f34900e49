"""The REST API's addresses, below `/api/`."""

from asgiref.sync import sync_to_async
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import include, path, re_path
from django.views.decorators.csrf import csrf_exempt
from rest_framework.routers import SimpleRouter

from sessions_app.api.views import NoSuchAddress, PolicyViewSet, SessionViewSet, TokenViewSet
from sessions_app.transports import http_views

router = SimpleRouter()
router.register("sessions", SessionViewSet, basename="session")
router.register("policies", PolicyViewSet, basename="policy")
router.register("tokens", TokenViewSet, basename="token")

_read_signals = sync_to_async(SessionViewSet.as_view({"get": "signals"}, detail=True))


@csrf_exempt  # each of the two enforces it, and refuses in the API's form
async def signals(request: HttpRequest, session: str) -> HttpResponseBase:
    """`/api/sessions/<id>/signals/`: one address, two views.

    Sending waits in the event loop for its receipt; reading is the REST framework's, in a thread.
    """
    if request.method in ("GET", "HEAD"):
        return await _read_signals(request, pk=session)
    return await http_views.signal(request, session=session)


urlpatterns = [
    path("stream/", http_views.stream),
    path("poll/", http_views.poll),
    path("sessions/<str:session>/stream/", http_views.session_stream),
    path("sessions/<str:session>/poll/", http_views.session_poll),
    path("sessions/<str:session>/signals/", signals),  # before the router's, which only describes reading
    path("sessions/<str:session>/publish/", http_views.publish),
    path("beat/", http_views.beat),
    path("", include(router.urls)),
    re_path("", NoSuchAddress.as_view()),
]
