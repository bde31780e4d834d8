"""huey's storage that expires: results, locks and counters; its queues are lists, and no part of this."""

from huey import RedisExpireHuey
from huey.exceptions import TaskLockedException
from server import URL, eventually, raises

huey = RedisExpireHuey("clients", url=URL, expire_time=100)

# Results, which are read without being removed, and expire.
assert huey.get("result") is None
huey.put_result("result", {"deep": [1, 2]})
assert huey.get("result") == {"deep": [1, 2]} and huey.storage.result_store_size() == 1
assert 99 <= huey.storage.conn.ttl(huey.storage.result_key("result")) <= 100
assert huey.delete("result") and huey.get("result") is None
assert huey.put_if_empty("once", 1) and not huey.put_if_empty("once", 2)

# Locks.
with huey.lock_task("lock"):
    raises(TaskLockedException, huey.lock_task("lock").__enter__)
    assert huey.is_locked("lock")
assert not huey.is_locked("lock")
assert huey.storage.put_if_empty("short", b"1", ttl=1)
eventually(lambda: not huey.storage.has_data_for_key("short"))

# Counters.
assert huey.storage.incr("counter") == 1 and huey.storage.incr("counter", 4) == 5
huey.storage.delete_counter("counter")
assert huey.storage.incr("counter") == 1
huey.storage.flush_results()
assert huey.storage.result_store_size() == 0
