"""redlock-py: a lock is taken, refused, released and expires."""

from redlock import Redlock
from server import URL, eventually

locks = Redlock([URL], retry_count=1)
held = locks.lock("redlock-py:a", 30_000)
assert held and 0 < held.validity <= 30_000
assert not locks.lock("redlock-py:a", 30_000)

# Only the owner releases it.
locks.unlock(held._replace(key=b"another's"))
assert not locks.lock("redlock-py:a", 30_000)
locks.unlock(held)
assert locks.lock("redlock-py:a", 30_000)

assert locks.lock("redlock-py:b", 200)
eventually(lambda: locks.lock("redlock-py:b", 30_000))
