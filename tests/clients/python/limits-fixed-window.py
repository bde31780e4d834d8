"""limits (Flask-Limiter, slowapi): a fixed window is filled, refuses, and begins anew."""

import time

from limits import parse
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter
from server import URL, eventually

storage = storage_from_string(URL)
assert storage.check()
limiter = FixedWindowRateLimiter(storage)

hour = parse("3/hour")
assert all(limiter.hit(hour, "ann") for _ in range(3)) and not limiter.hit(hour, "ann")
assert limiter.test(hour, "bob") and not limiter.test(hour, "ann")
state = limiter.get_window_stats(hour, "ann")
assert state.remaining == 0 and 3500 < state.reset_time - time.time() <= 3601
assert limiter.hit(hour, "bob", cost=3) and not limiter.hit(hour, "bob")
limiter.clear(hour, "ann")
assert limiter.hit(hour, "ann") and limiter.get_window_stats(hour, "ann").remaining == 2

second = parse("1/second")
assert limiter.hit(second, "ann")
eventually(lambda: limiter.test(second, "ann"))
assert limiter.hit(second, "ann")
