"""redis-py's cluster client: keys of all slots, its own pipelines, and scripts."""

import redis
from redis.cluster import ClusterNode, RedisCluster
from server import CLUSTER, eventually

r = RedisCluster(startup_nodes=[ClusterNode(*address) for address in CLUSTER], decode_responses=True)
names = [f"redis-py-cluster:{n}" for n in range(100)]
for name in names:
    assert r.set(name, name, ex=100)
assert [r.get(name) for name in names] == names
assert r.mget_nonatomic(names) == names

pipe = r.pipeline()
for name in names:
    pipe.get(name)
assert pipe.execute() == names

# One key at a time: what a home of its own serves.
r.delete("redis-py-cluster:counter")
assert [r.incr("redis-py-cluster:counter") for _ in range(3)] == [1, 2, 3]
assert r.eval("return redis.call('incr', KEYS[1])", 1, "redis-py-cluster:counter") == 4
lock = r.lock("redis-py-cluster:lock", timeout=30)
assert lock.acquire() and not r.lock("redis-py-cluster:lock").acquire(blocking=False)
lock.release()
assert r.set("redis-py-cluster:short", 1, px=50)
eventually(lambda: r.get("redis-py-cluster:short") is None)

assert set(r.scan_iter(match="redis-py-cluster:*", count=50)) >= set(names)
assert r.keyslot("redis-py-cluster:{tag}") == r.keyslot("tag") == r.cluster_keyslot("tag")
assert sum(last - first + 1 for first, last in r.cluster_slots()) == 16384
assert r.delete(*names) == len(names)
