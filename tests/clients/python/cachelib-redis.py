"""cachelib: what Flask-Caching and others keep in a cache."""

from cachelib import RedisCache
from server import HOST, PORT, eventually

cache = RedisCache(HOST, PORT, default_timeout=100, key_prefix="cachelib:")
assert cache.get("a") is None and cache.set("a", {"deep": [1, 2]}) and cache.get("a") == {"deep": [1, 2]}
assert cache.has("a") and not cache.has("b")
assert cache.add("b", 1) and not cache.add("b", 2) and cache.get("b") == 1
assert cache.set_many({"c": 1, "d": 2}) and cache.get_many("c", "d", "e") == [1, 2, None]
assert cache.get_dict("c", "d") == {"c": 1, "d": 2}
assert cache.inc("counter") == 1 and cache.inc("counter", 4) == 5 and cache.dec("counter") == 4
assert cache.set("for-ever", 1, timeout=0) and cache.get("for-ever") == 1
assert cache.delete("a") and cache.get("a") is None and not cache.delete("a")
assert sorted(cache.delete_many("c", "d")) == ["c", "d"] and cache.get_many("c", "d") == [None, None]
assert cache.set("short", 1, timeout=1)
eventually(lambda: cache.get("short") is None)
assert cache.clear() and cache.get("b") is None
