from django.contrib import admin
from django.contrib.staticfiles.urls import staticfiles_urlpatterns
from django.urls import include, path
from people import views

urlpatterns = [
    path("", views.front),
    path("healthz", views.healthz),
    path("chat/", include("sessions_app.urls")),
    path("api/mine/", views.mine),
    path("sign-on/", views.sign_on),
    path("accounts/", include("django.contrib.auth.urls")),
    path("admin/", admin.site.urls),
    *staticfiles_urlpatterns(),  # for development, as `runserver` does
]
