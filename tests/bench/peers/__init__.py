"""What people would use instead, at the same work: one reader a session, and writers elsewhere. Nothing is stored."""
