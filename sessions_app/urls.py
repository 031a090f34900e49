"""Holdfast's URLconf: `path("chat/", include("sessions_app.urls"))`."""

from functools import partial

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.decorators.csrf import csrf_exempt
from rest_framework.routers import SimpleRouter

from sessions_app.api import schema
from sessions_app.api.document import DocumentPage, DocumentView
from sessions_app.api.schema import described
from sessions_app.api.views import NoSuchAddress, PolicyViewSet, SessionViewSet, TokenViewSet
from sessions_app.auth.addresses import NAMESPACE
from sessions_app.transports import http_views, long_poll, sse, worker_views
from sessions_app.transports.ai_sdk import views as chat
from sessions_app.views import page, restart

app_name = NAMESPACE

router = SimpleRouter()
router.register("sessions", SessionViewSet, basename="session")
router.register("policies", PolicyViewSet, basename="policy")
router.register("tokens", TokenViewSet, basename="token")

_read_signals = SessionViewSet.as_view({"get": "signals"}, detail=True)


@csrf_exempt  # both views enforce CSRF, with errors in the API's format
async def signals(request: HttpRequest, pk: str) -> HttpResponseBase:
    """`api/sessions/<id>/signals/`: one address for two views.

    POST is an async view that waits for the receipt; GET is a REST framework view in a thread.
    """
    if request.method in ("GET", "HEAD"):
        read: HttpResponseBase = await _read_signals(request, pk=pk)
        return read
    return await http_views.signal(request, session=pk)


api: list[URLPattern | URLResolver] = [
    path("schema/", DocumentView.as_view(), name="schema"),
    path("docs/", DocumentPage.as_view(), name="api-docs"),
    path("stream/", described(sse.stream, "post", schema.STREAM)),
    path("poll/", described(long_poll.poll, "post", schema.POLL)),
    path("sessions/<str:session>/stream/", described(sse.session_stream, "get", schema.SESSION_STREAM)),
    path("sessions/<str:session>/poll/", described(long_poll.session_poll, "get", schema.SESSION_POLL)),
    # Before the router's route, which describes only GET. The parameter has the router's name.
    path("sessions/<str:pk>/signals/", described(signals, "post", schema.SIGNAL)),
    path("sessions/<str:session>/runs/", described(http_views.begin_run, "post", schema.BEGIN_RUN)),
    path("sessions/<str:session>/publish/", described(http_views.publish, "post", schema.PUBLISH)),
    # AI SDK clients append to the address that they were given, with a slash at its end or without.
    path("chat/", described(chat.submit, "post", schema.CHAT)),
    path("chat/<str:chat_id>/stream/", described(chat.resume, "get", schema.CHAT_STREAM)),
    path("chat/<str:chat_id>/stop/", described(chat.stop, "post", schema.CHAT_STOP)),
    path("chat", csrf_exempt(partial(chat.submit))),
    path("chat/<str:chat_id>/stream", csrf_exempt(partial(chat.resume))),
    path("chat/<str:chat_id>/stop", csrf_exempt(partial(chat.stop))),
    path("work/", described(worker_views.ask, "post", schema.WORK)),
    path("work/claim/", described(worker_views.claim, "post", schema.CLAIM)),
    path("beat/", described(http_views.beat, "post", schema.BEAT)),
    path("", include(router.urls)),
    re_path("", NoSuchAddress.as_view()),
]

urlpatterns = [
    path("", page, name="page"),
    path("s/<str:session>/", page, name="conversation"),
    path("lab/restart/", restart, name="lab-restart"),
    path("api/", include(api)),
    path("ws/", http_views.upgrade_required),
    path("ws/chat/", http_views.upgrade_required),
    path("ws/chat", http_views.upgrade_required),
]
