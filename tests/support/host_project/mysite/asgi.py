import os

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
http = get_asgi_application()

from people.sockets import Echo  # noqa: E402

from sessions_app.asgi import mount  # noqa: E402

sockets = URLRouter([path("own-ws/", Echo.as_asgi())])
application = mount(ProtocolTypeRouter({"http": http, "websocket": sockets}))
