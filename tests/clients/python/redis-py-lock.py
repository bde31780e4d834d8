"""redis-py's Lock: taken, refused, extended, renewed, released, expired, and never released for another."""

import threading

import redis
from redis.exceptions import LockError, LockNotOwnedError
from server import URL, eventually, raises

r = redis.from_url(URL)
mine, yours = (r.lock("redis-py-lock:a", timeout=30, thread_local=False) for _ in range(2))

# Taken and refused.
assert mine.acquire() and mine.locked() and mine.owned()
assert not yours.acquire(blocking=False) and yours.locked() and not yours.owned()
assert not yours.acquire(blocking_timeout=0.1)

# Extended and renewed.
assert mine.extend(30) and 30_000 < r.pttl("redis-py-lock:a") <= 60_000
assert mine.extend(10, replace_ttl=True) and r.pttl("redis-py-lock:a") <= 10_000
assert mine.reacquire() and r.pttl("redis-py-lock:a") > 10_000

# Released, and taken by who waited.
waits = threading.Thread(target=lambda: yours.acquire(blocking_timeout=10))
waits.start()
mine.release()
waits.join()
assert yours.owned()
raises(LockError, mine.release)
yours.release()
assert not mine.locked()

# Expired: it is another's then, and its first owner is told so.
assert (short := r.lock("redis-py-lock:b", timeout=0.1)).acquire()
eventually(lambda: not short.locked())
with r.lock("redis-py-lock:b", timeout=30):
    raises(LockNotOwnedError, lambda: short.extend(30))
    raises(LockNotOwnedError, short.reacquire)
    raises(LockNotOwnedError, short.release)
assert r.exists("redis-py-lock:b") == 0
