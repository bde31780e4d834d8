"""redis-py's Sentinel client: it asks who the master is, and works there."""

from redis.exceptions import ResponseError
from redis.sentinel import Sentinel
from server import MASTER, SENTINELS, eventually

sentinel = Sentinel(SENTINELS, socket_timeout=5)
host, port = sentinel.discover_master(MASTER)
assert host and port
r = sentinel.master_for(MASTER, socket_timeout=5, decode_responses=True)
assert r.set("redis-py-sentinel:a", "1", ex=100) and r.get("redis-py-sentinel:a") == "1"
assert r.role()[0] in ("master", b"master")
r.delete("redis-py-sentinel:counter")
assert [r.incr("redis-py-sentinel:counter") for _ in range(3)] == [1, 2, 3]
with r.lock("redis-py-sentinel:lock", timeout=30):
    assert not r.lock("redis-py-sentinel:lock").acquire(blocking=False)
assert r.set("redis-py-sentinel:short", 1, px=50)
eventually(lambda: r.get("redis-py-sentinel:short") is None)
state = sentinel.sentinels[0].sentinel_master(MASTER)
assert state["is_master"] and not state["is_odown"]
