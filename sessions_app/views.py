"""The page: all that it shows, it gets from the API and the socket."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import cache_control
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe


@require_safe
@cache_control(private=True, no_cache=True)  # it depends on who asks; no_store would forbid going back to it
@ensure_csrf_cookie  # the page's scripts send it back with each change
def page(request: HttpRequest, session: str = "") -> HttpResponse:
    """Show the page. Which conversation it shows, its scripts read from its address."""
    return render(request, "index.html")
