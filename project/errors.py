"""Page for requests that failed."""

import sys

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 503 if the database failed, as on a full disk: it may be tried again; 500 for any other error."""
    is_storage = isinstance(sys.exc_info()[1], DatabaseError)
    return render(request, "500.html", {"is_storage": is_storage}, status=503 if is_storage else 500)
