"""The tests' shared helpers: real servers, users, raw sockets, a bad network."""
