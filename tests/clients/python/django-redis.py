"""django-redis: Django's cache with deadlines, patterns and locks beyond it."""

import django
from django.conf import settings
from server import URL, eventually

settings.configure(CACHES={"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": URL, "KEY_PREFIX": "django-redis"}})
django.setup()

from django.core.cache import cache  # noqa: E402

# One key.
assert cache.set("a", {"deep": [1, 2]}) and cache.get("a") == {"deep": [1, 2]}
assert cache.set("b", 1, nx=True) and not cache.set("b", 2, nx=True) and cache.get("b") == 1
assert cache.add("c", 1) and not cache.add("c", 2)
assert cache.incr("b", 4) == 5 and cache.decr("b") == 4
assert cache.has_key("b") and cache.delete("c") and not cache.delete("c")

# Deadlines.
assert cache.ttl("nope") == 0
assert cache.set("a", 1, timeout=100) and 99 <= cache.ttl("a") <= 100 and cache.pttl("a") > 90_000
assert cache.expire("a", timeout=200) and cache.ttl("a") > 100
assert cache.touch("a", 50) and cache.ttl("a") <= 50
assert cache.persist("a") and cache.ttl("a") is None
assert cache.set("short", 1, timeout=1)
eventually(lambda: cache.get("short") is None)

# Many keys: a pipeline of redis-py, hence MULTI over several keys.
cache.set_many({"many:1": 1, "many:2": 2}, timeout=100)
assert cache.get_many(["many:1", "many:2", "many:3"]) == {"many:1": 1, "many:2": 2}
assert sorted(cache.keys("many:*")) == sorted(cache.iter_keys("many:*")) == ["many:1", "many:2"]
assert cache.delete_pattern("many:*") == 2 and cache.keys("many:*") == []
cache.set_many({"d": 1, "e": 2})
assert cache.delete_many(["d", "e"]) == 2

# A lock.
with cache.lock("lock", timeout=30):
    assert not cache.lock("lock", timeout=30).acquire(blocking=False)
assert cache.lock("lock", timeout=30, blocking_timeout=1).acquire()

cache.clear()
assert cache.get("a") is None
