"""redis-py's pipelines: transactions about one key, plain pipelines about many, and WATCH."""

import redis
from server import URL, raises

r = redis.from_url(URL, decode_responses=True)
a, b = "redis-py-pipeline:a", "redis-py-pipeline:b"
r.delete(a, b)

# A transaction about one key: all of it or nothing.
with r.pipeline(transaction=True) as pipe:
    pipe.set(a, 1).incrby(a, 5).expire(a, 100).get(a).ttl(a)
    assert pipe.execute() == [True, 6, True, "6", 100]
with r.pipeline() as pipe:
    pipe.set(a, "text").incr(a).get(a)
    replies = pipe.execute(raise_on_error=False)
    assert replies[0] and isinstance(replies[1], redis.ResponseError) and replies[2] == "text"
with r.pipeline() as pipe:
    pipe.set(a, 1)
    pipe.execute_command("SET", a)
    raises(redis.ResponseError, pipe.execute)
assert r.get(a) == "text"

# Many keys, without a transaction.
with r.pipeline(transaction=False) as pipe:
    for n in range(100):
        pipe.set(f"redis-py-pipeline:{n}", n, ex=100)
    for n in range(100):
        pipe.get(f"redis-py-pipeline:{n}")
    assert pipe.execute() == [True] * 100 + [str(n) for n in range(100)]
double = r.register_script("return redis.call('incrby', KEYS[1], redis.call('get', KEYS[1]))")
with r.pipeline(transaction=False) as pipe:
    r.set(b, 4)
    double(keys=[b], client=pipe)
    assert pipe.execute() == [8]

# WATCH: nothing happens if somebody else came between.
with r.pipeline() as pipe:
    pipe.watch(a)
    assert pipe.get(a) == "text"
    r.set(a, "other")
    pipe.multi()
    pipe.set(a, "mine")
    raises(redis.WatchError, pipe.execute)
    assert r.get(a) == "other"
    pipe.watch(a)
    r.set(b, 1)
    pipe.multi()
    pipe.set(a, "mine")
    assert pipe.execute() == [True] and r.get(a) == "mine"


def raise_by_half(pipe):
    value = int(pipe.get(b))
    pipe.multi()
    pipe.set(b, value + value // 2)


r.set(b, 10)
assert r.transaction(raise_by_half, b) == [True] and r.get(b) == "15"
