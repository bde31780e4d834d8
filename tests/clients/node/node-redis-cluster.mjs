// node-redis' cluster client: keys of all slots, and a transaction about one key.

import assert from 'node:assert/strict'
import { createCluster } from 'redis'
import { cluster, eventually } from './server.mjs'

const r = await createCluster({ rootNodes: cluster.map(({ host, port }) => ({ url: `redis://${host}:${port}` })) }).connect()
const names = Array.from({ length: 100 }, (_, n) => `node-redis-cluster:${n}`)
await Promise.all(names.map((name) => r.set(name, name, { EX: 100 })))
assert.deepEqual(await Promise.all(names.map((name) => r.get(name))), names)

const key = 'node-redis-cluster:counter'
await r.del(key)
assert.deepEqual(await r.multi().incr(key).incr(key).exec(), [1, 2])
assert.equal(await r.eval("return redis.call('incr', KEYS[1])", { keys: [key] }), 3)
await r.set('node-redis-cluster:short', '1', { PX: 50 })
await eventually(async () => (await r.get('node-redis-cluster:short')) === null)

assert(r.masters.length >= 1)
await Promise.all(names.map((name) => r.del(name)))
r.destroy()
