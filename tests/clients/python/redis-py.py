"""redis-py: strings, deadlines, counters, iteration and scripts, over both versions of the protocol."""

import redis
from server import HOST, PORT, eventually, raises

for protocol in (2, 3):
    r = redis.Redis(host=HOST, port=PORT, protocol=protocol, decode_responses=True)
    assert r.ping()
    key, other = f"redis-py:{protocol}:a", f"redis-py:{protocol}:b"

    # Strings.
    assert r.set(key, "1") and r.get(key) == "1"
    assert r.set(key, "2", nx=True) is None
    assert r.set(other, "2", xx=True) is None
    assert r.set(key, "2", get=True) == "1"
    assert r.append(key, "0") == 2 and r.strlen(key) == 2 and r.getrange(key, 1, 1) == "0"
    assert r.mset({key: "1", other: "2"}) and r.mget(key, other, "redis-py:none") == ["1", "2", None]
    assert r.getset(key, "3") == "1" and r.getdel(key) == "3" and r.get(key) is None
    assert r.exists(key, other) == 1 and r.type(other) == "string" and r.type(key) == "none"
    assert r.delete(key, other) == 1

    # Counters.
    assert r.incr(key) == 1 and r.incrby(key, 9) == 10 and r.decr(key, 3) == 7
    assert float(r.incrbyfloat(key, 0.5)) == 7.5
    assert "not an integer" in str(raises(redis.ResponseError, lambda: r.incr(key)))

    # Deadlines.
    assert r.ttl(other) == -2 and r.ttl(key) == -1
    assert r.set(key, "x", ex=100) and 99 <= r.ttl(key) <= 100
    assert r.set(key, "y", keepttl=True) and r.ttl(key) > 0
    assert r.set(key, "z") and r.ttl(key) == -1
    assert r.set(key, "x", ex=100) and r.set(other, "y", px=100_000) and r.pttl(other) > 90_000
    assert r.expire(key, 200, gt=True) and not r.expire(key, 100, gt=True)
    assert r.expire(key, 50, nx=True) == 0 and r.expireat(key, 4_000_000_000) and r.expiretime(key) == 4_000_000_000
    assert r.getex(key, persist=True) == "x" and r.ttl(key) == -1
    assert not r.persist(key) and r.persist(other)
    assert r.set(key, "x", px=50)
    eventually(lambda: r.get(key) is None)
    assert r.exists(key) == 0 and r.ttl(key) == -2 and r.set(key, "again", nx=True)

    # Iteration.
    names = {f"redis-py:{protocol}:scan:{n}" for n in range(50)}
    for name in names:
        r.set(name, "v", ex=100)
    pattern = f"redis-py:{protocol}:scan:*"
    assert set(r.scan_iter(match=pattern, count=7)) == names == set(r.keys(pattern))
    assert r.dbsize() >= len(names) and r.randomkey() is not None
    assert r.unlink(*names) == len(names)

    # Scripts.
    double = r.register_script("local v = redis.call('incrby', KEYS[1], ARGV[1]); return {v, 2 * v, 'text'}")
    r.script_flush()
    r.delete(other)
    assert double(keys=[other], args=[4]) == [4, 8, "text"] and double(keys=[other], args=[1]) == [5, 10, "text"]
    assert r.script_exists(double.sha, "0" * 40) == [True, False]
    assert r.eval("return redis.call('get', KEYS[1])", 1, other) == "5"
    assert "stop" in str(raises(redis.ResponseError, lambda: r.eval("return redis.error_reply('stop')", 0)))
    raises(redis.exceptions.NoScriptError, lambda: r.evalsha("0" * 40, 0))

    assert r.info("server")["redis_version"] and r.time()[0] > 1_600_000_000
