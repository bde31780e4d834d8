"""dramatiq's rate limiters: how many at once, how many in a bucket of time, how many in a window."""

from dramatiq import RateLimitExceeded
from dramatiq.rate_limits import BucketRateLimiter, ConcurrentRateLimiter, WindowRateLimiter
from dramatiq.rate_limits.backends import RedisBackend
from server import URL, eventually, raises

backend = RedisBackend(url=URL)

# A mutex of all workers.
mutex = ConcurrentRateLimiter(backend, "dramatiq:mutex", limit=1, ttl=30_000)
with mutex.acquire():
    raises(RateLimitExceeded, mutex.acquire().__enter__)
    with mutex.acquire(raise_on_failure=False) as acquired:
        assert not acquired
with mutex.acquire():
    pass

# Whoever dies in it does not hold it for ever.
short = ConcurrentRateLimiter(backend, "dramatiq:short", limit=1, ttl=200)
assert short._acquire() and not short._acquire()
eventually(short._acquire)


def full(limiter):
    """Fills the limiter until it refuses; no test of how long that takes, as time goes on meanwhile."""
    with limiter.acquire(raise_on_failure=False) as acquired:
        return not acquired


bucket = BucketRateLimiter(backend, "dramatiq:bucket", limit=3, bucket=1_000)
eventually(lambda: full(bucket))
eventually(lambda: not full(bucket))

window = WindowRateLimiter(backend, "dramatiq:window", limit=3, window=1)
eventually(lambda: full(window))
eventually(lambda: not full(window))
