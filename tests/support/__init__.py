"""What the tests share: real servers, people, raw sockets, a bad network."""
