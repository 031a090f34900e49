"""The site's own pages and API."""

from django.contrib.auth import get_user_model, login
from django.contrib.auth.signals import user_logged_in
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render


def front(request: HttpRequest) -> HttpResponse:
    return render(request, "front.html")


def healthz(request: HttpRequest) -> HttpResponse:
    return HttpResponse("the site's own")


def mine(request: HttpRequest) -> JsonResponse:
    """An API with tokens of its own."""
    return JsonResponse({"authorization": request.headers.get("Authorization", ""), "path": request.path})


def sign_on(request: HttpRequest) -> JsonResponse:
    """Single sign-on as some packages do it: their signal names no request."""
    person, _ = get_user_model().objects.get_or_create(email="single@sign.on")
    user_logged_in.send(sender=type(person), request=None, user=person)
    login(request, person, backend="django.contrib.auth.backends.ModelBackend")
    return JsonResponse({"id": str(person.pk)})
