"""Writes through redis-py's Sentinel or cluster client until it is told to stop; prints what happened, as JSON.

usage: load.py {sentinel | cluster} SECONDS

The clients are made as README.md says, for nodes that may die. Every operation is a write, which is answered by a majority.
"""

import json
import sys
import threading
import time

from redis import Redis
from redis.backoff import ConstantBackoff, NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import RedisError
from redis.retry import Retry
from redis.sentinel import Sentinel

sys.path.insert(0, sys.path[0] + "/../python")
from server import CLUSTER, MASTER, SENTINELS

WORKERS = 4


def sentinel() -> Redis:
    """All workers share its pool. A node that does not answer as a Sentinel is not asked twice: the next one is. Nor is a command
    tried again: redis-py would send it to the old address, and asks for the new one when the next command needs a connection.
    """
    limits = {"socket_timeout": 0.5, "socket_connect_timeout": 0.5}
    once = Retry(NoBackoff(), 0)
    asked = Sentinel(SENTINELS, sentinel_kwargs={**limits, "retry": once})
    return asked.master_for(MASTER, **limits, retry=once)


def cluster() -> RedisCluster:
    """All workers share its pools."""
    nodes = [ClusterNode(*address) for address in CLUSTER]
    retry = Retry(ConstantBackoff(0.05), 10)
    return RedisCluster(startup_nodes=nodes, socket_timeout=0.5, socket_connect_timeout=0.5, retry=retry)


kind, seconds = sys.argv[1], float(sys.argv[2])
client = {"sentinel": sentinel, "cluster": cluster}[kind]()
begun = time.monotonic()
ended = begun + seconds
# When operations have succeeded, and what the others raised.
moments: list[float] = []
errors: dict[str, int] = {}


def work(worker: int) -> None:
    count = 0
    while time.monotonic() < ended:
        count += 1
        try:
            client.set(f"failover:{worker}:{count % 100}", count)
            moments.append(time.monotonic())
        except RedisError as why:
            text = f"{type(why).__name__}: {why}"[:90]
            errors[text] = errors.get(text, 0) + 1


workers = [threading.Thread(target=work, args=(worker,)) for worker in range(WORKERS)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
moments = [begun, *sorted(moments), ended]
gap = max(later - earlier for earlier, later in zip(moments, moments[1:]))
print(json.dumps({"succeeded": len(moments) - 2, "longest_gap_ms": round(gap * 1000), "errors": errors}))
