"""redis-py with asyncio: many callers over one pool, and the lock."""

import asyncio

from redis import asyncio as redis
from redis.exceptions import LockError
from server import URL


async def main():
    r = redis.from_url(URL, decode_responses=True, max_connections=20)
    await r.delete("asyncio:counter")

    # A counter that many raise at once.
    counts = await asyncio.gather(*(r.incr("asyncio:counter") for _ in range(20)))
    assert sorted(counts) == list(range(1, 21))
    assert await r.set("asyncio:a", "1", ex=100) and await r.get("asyncio:a") == "1"
    async with r.pipeline(transaction=True) as pipe:
        assert await pipe.incr("asyncio:counter").expire("asyncio:counter", 100).ttl("asyncio:counter").execute() == [21, True, 100]

    # What a lock protects is never done by two.
    inside = 0

    async def visit():
        nonlocal inside
        async with r.lock("asyncio:lock", timeout=30, sleep=0.01):
            inside += 1
            assert inside == 1
            await asyncio.sleep(0.01)
            inside -= 1

    await asyncio.gather(*(visit() for _ in range(5)))
    held = r.lock("asyncio:lock", timeout=30)
    assert await held.acquire()
    assert not await r.lock("asyncio:lock", timeout=30).acquire(blocking=False)
    await held.release()
    try:
        await held.release()
        raise AssertionError("released twice")
    except LockError:
        pass
    await r.aclose()


asyncio.run(main())
