"""The process that a test's HTTP client has started, and that nothing has stopped."""

from sessions_app import process


def end_left_process() -> None:
    """End the threads of such a process. Its event loop is closed, but it would go on beating as a worker."""
    left, process._current, process._starting = process._current, None, None
    if left is None:
        return
    left.lease_keeper.stop()
    writer = left.log_writer
    with writer._changed:
        writer._stopping = True
        writer._changed.notify()
    writer._thread.join()
