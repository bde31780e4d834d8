"""Django's own cache for Redis, and the sessions that it keeps there."""

import django
from django.conf import settings
from server import URL, eventually

settings.configure(
    CACHES={"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": URL, "KEY_PREFIX": "django"}},
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
)
django.setup()

from django.contrib.sessions.backends.cache import SessionStore  # noqa: E402
from django.core.cache import cache  # noqa: E402

# One key.
cache.set("a", {"deep": [1, 2]})
assert cache.get("a") == {"deep": [1, 2]} and cache.get("b", "default") == "default" and "a" in cache
assert cache.add("b", 1) and not cache.add("b", 2) and cache.get("b") == 1
assert cache.incr("b", 4) == 5 and cache.decr("b") == 4
assert cache.get_or_set("c", lambda: 3) == 3 and cache.get_or_set("c", 4) == 3
assert cache.touch("c", 100) and not cache.touch("nope", 100)
assert cache.delete("c") and not cache.delete("c") and cache.get("c") is None
cache.set("version", 1, version=1)
assert cache.incr_version("version") == 2 and cache.get("version", version=2) == 1
cache.set("short", 1, timeout=1)
cache.set("for-ever", 1, timeout=None)
eventually(lambda: cache.get("short") is None)
assert cache.get("for-ever") == 1

# Many keys: a pipeline of redis-py, hence MULTI over several keys.
assert cache.set_many({"d": 1, "e": 2}, timeout=100) == []
assert cache.get_many(["d", "e", "f"]) == {"d": 1, "e": 2}
cache.delete_many(["d", "e"])
assert cache.get_many(["d", "e"]) == {}

# Sessions.
session = SessionStore()
session["user"] = "ann"
session.save()
assert SessionStore(session.session_key)["user"] == "ann" and SessionStore().exists(session.session_key)
old = session.session_key
session.cycle_key()
assert session.session_key != old and SessionStore(session.session_key)["user"] == "ann"
session.set_expiry(1)
session.save()
eventually(lambda: not SessionStore().exists(session.session_key))

assert cache.clear() and cache.get("for-ever") is None
