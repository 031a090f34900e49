"""Django project of the site: settings, URLconf and ASGI application."""
