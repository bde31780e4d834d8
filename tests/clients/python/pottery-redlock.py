"""pottery: its Redlock is taken, refused, extended, released and expires; its ids count up."""

import redis
from pottery import NextID, Redlock, ReleaseUnlockedLock
from server import URL, eventually, raises

masters = {redis.from_url(URL)}


def lock(name, seconds=30):
    return Redlock(key=name, masters=masters, auto_release_time=seconds)


mine = lock("pottery:a")
assert mine.acquire() and mine.locked() > 0
assert not lock("pottery:a").acquire(blocking=False)
mine.extend()
mine.release()
assert not mine.locked()
raises(ReleaseUnlockedLock, mine.release)
with lock("pottery:a"):
    assert not lock("pottery:a").acquire(blocking=False)

short = lock("pottery:b", seconds=0.3)
assert short.acquire()
eventually(lambda: lock("pottery:b").acquire(blocking=False))
raises(ReleaseUnlockedLock, short.release)

ids = NextID(key="pottery:ids", masters=masters)
ids.reset()
assert [next(ids) for _ in range(3)] == [1, 2, 3]
