"""Views of the page and of the network lab's server restart. The page loads its data from the API."""

from ipaddress import ip_address

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render, resolve_url
from django.views.decorators.cache import cache_control
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_POST, require_safe

from sessions_app import conf
from sessions_app.servers import daphne_server


@require_safe
@cache_control(private=True, no_cache=True)  # personal; `no_store` would break the browser's back button
@ensure_csrf_cookie  # the page's scripts send it back with unsafe requests
def page(request: HttpRequest, session: str = "") -> HttpResponse:
    """Show the page. Its scripts read the conversation from the URL."""
    if not conf.settings.guests and not request.user.is_authenticated:
        return redirect_to_login(request.get_full_path())
    context = {
        "lab": conf.settings.lab,
        "can_restart": settings.DEBUG,
        "login_url": resolve_url(settings.LOGIN_URL),
    }
    return render(request, "holdfast/index.html", context)


@require_POST
async def restart(request: HttpRequest) -> HttpResponse:
    """Restart this server, as a deployment would. Only with DEBUG and from the same machine; responds 204 first."""
    if not settings.DEBUG:
        raise Http404
    if not is_from_this_machine(request):
        raise PermissionDenied("Only allowed from the server's own machine")
    if not daphne_server.restart():
        return HttpResponse("only Holdfast's own server can restart itself\n", status=501, content_type="text/plain")
    return HttpResponse(status=204)


def is_from_this_machine(request: HttpRequest) -> bool:
    """Return True for a direct request from this machine. A proxy here could act for any client."""
    forwarded = "Forwarded" in request.headers or "X-Forwarded-For" in request.headers
    return not forwarded and ip_address(request.META["REMOTE_ADDR"]).is_loopback
