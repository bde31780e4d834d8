// ioredis: strings, deadlines, counters, pipelines, transactions, scripts and iteration.

import assert from 'node:assert/strict'
import Redis from 'ioredis'
import { eventually, host, port } from './server.mjs'

const r = new Redis({ host, port })
const [a, b] = ['ioredis:a', 'ioredis:b']

assert.equal(await r.set(a, '1', 'EX', 100, 'NX'), 'OK')
assert.equal(await r.set(a, '2', 'EX', 100, 'NX'), null)
assert.equal(await r.set(a, '2', 'KEEPTTL'), 'OK')
assert((await r.ttl(a)) > 90)
assert.equal(await r.setex(b, 100, 'x'), 'OK')
assert.deepEqual(await r.mget(a, b, 'ioredis:none'), ['2', 'x', null])
assert.deepEqual(await r.getBuffer(b), Buffer.from('x'))
assert.equal(await r.getdel(b), 'x')
assert.equal(await r.incrby(a, 5), 7)
assert.equal(await r.expire(a, 200, 'GT'), 1)
assert.equal(await r.persist(a), 1)
assert.equal(await r.ttl(a), -1)
await r.set(b, 'x', 'PX', 50)
await eventually(async () => (await r.exists(b)) === 0)

const replies = await r.pipeline().set(a, 'text').incr(a).get(a).exec()
assert.deepEqual([replies[0], replies[2]], [[null, 'OK'], [null, 'text']])
assert.match(replies[1][0].message, /not an integer/)

// Transactions about one key, and WATCH.
assert.deepEqual(await r.multi().set(a, 1).incr(a).expire(a, 100).exec(), [[null, 'OK'], [null, 2], [null, 1]])
await r.watch(a)
await r.duplicate().set(a, 5)
assert.equal(await r.multi().set(a, 9).exec(), null)
assert.equal(await r.get(a), '5')

// Scripts: EVALSHA, and EVAL where it is not known yet.
r.defineCommand('raise', { numberOfKeys: 1, lua: "return redis.call('incrby', KEYS[1], ARGV[1])" })
await r.script('FLUSH')
assert.deepEqual([await r.raise(a, 5), await r.raise(a, 5)], [10, 15])
await assert.rejects(r.eval("return redis.call('nope')", 0), /[Uu]nknown Redis command/)

const names = Array.from({ length: 50 }, (_, n) => `ioredis:scan:${n}`)
await r.mset(names.flatMap((name) => [name, 'v']))
const seen = new Set()
for await (const keys of r.scanStream({ match: 'ioredis:scan:*', count: 7 })) keys.forEach((key) => seen.add(key))
assert.deepEqual([...seen].sort(), [...names].sort())
assert.equal(await r.unlink(...names), names.length)
process.exit()
