// ioredis' cluster client: keys of all slots, and a pipeline for the keys of one.

import assert from 'node:assert/strict'
import { Cluster } from 'ioredis'
import { cluster, eventually } from './server.mjs'

const r = new Cluster(cluster)
const names = Array.from({ length: 100 }, (_, n) => `ioredis-cluster:${n}`)
await Promise.all(names.map((name) => r.set(name, name, 'EX', 100)))
assert.deepEqual(await Promise.all(names.map((name) => r.get(name))), names)

const key = 'ioredis-cluster:counter'
await r.del(key)
assert.deepEqual(await r.pipeline().incr(key).incr(key).exec(), [[null, 1], [null, 2]])
assert.deepEqual(await r.multi().incr(key).expire(key, 100).exec(), [[null, 3], [null, 1]])
assert.equal(await r.eval("return redis.call('incr', KEYS[1])", 1, key), 4)
await r.set('ioredis-cluster:short', '1', 'PX', 50)
await eventually(async () => (await r.get('ioredis-cluster:short')) === null)

assert(r.nodes('master').length >= 1)
await Promise.all(names.map((name) => r.del(name)))
process.exit()
