"""Fuzz of every HTTP and WebSocket door of a real server, with a seed (`make fuzz`)."""
