"""Deprecated alias of `sessions_app.servers.uvicorn_websocket`, for one release."""

from sessions_app.servers.uvicorn_websocket import SocketProtocol as SocketProtocol
