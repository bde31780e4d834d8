"""Where the server is, as `run` says, and how to wait for what takes its time."""

import os
import time


def addresses(variable):
    """The addresses in a variable."""
    return [(host, int(port)) for host, port in (one.rsplit(":", 1) for one in os.environ[variable].split(","))]


#: What plain clients connect to.
HOST, PORT = addresses("KV_NODE")[0]
URL = f"redis://{HOST}:{PORT}/0"
#: Where a cluster client begins.
CLUSTER = addresses("KV_CLUSTER")
#: Who is asked for the master, and the name it goes by.
SENTINELS = addresses("KV_SENTINEL")
MASTER = "mymaster"


def eventually(condition, within=10):
    """Waits until the condition holds; fails if it does not within so many seconds."""
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, f"not within {within} s"
        time.sleep(0.02)


def raises(kind, action):
    """Runs the action, which must fail with this kind of exception, and returns that."""
    try:
        result = action()
    except kind as error:
        return error
    raise AssertionError(f"answered {result!r} instead of {kind.__name__}")
