// node-redis: strings, deadlines, counters, transactions, scripts and iteration, over both versions of the protocol.

import assert from 'node:assert/strict'
import { createClient, defineScript, WatchError } from 'redis'
import { eventually, url } from './server.mjs'

const scripts = {
  raise: defineScript({
    NUMBER_OF_KEYS: 1,
    SCRIPT: "return redis.call('incrby', KEYS[1], ARGV[1])",
    parseCommand(parser, key, amount) {
      parser.pushKey(key)
      parser.push(String(amount))
    },
    transformReply: (reply) => reply
  })
}

for (const RESP of [2, 3]) {
  const r = await createClient({ url, RESP, scripts }).connect()
  const [a, b] = [`node-redis:${RESP}:a`, `node-redis:${RESP}:b`]
  await r.del([a, b])

  assert.equal(await r.set(a, '1', { EX: 100, NX: true }), 'OK')
  assert.equal(await r.set(a, '2', { EX: 100, NX: true }), null)
  assert.equal(await r.set(a, '2', { KEEPTTL: true, GET: true }), '1')
  assert((await r.ttl(a)) > 90)
  assert.equal(await r.setEx(b, 100, 'x'), 'OK')
  assert.deepEqual(await r.mGet([a, b, 'node-redis:none']), ['2', 'x', null])
  assert.equal(await r.getDel(b), 'x')
  assert.equal(await r.incrBy(a, 5), 7)
  assert.equal(await r.expire(a, 200, 'GT'), 1)
  assert.equal(await r.persist(a), 1)
  await r.set(b, 'x', { PX: 50 })
  await eventually(async () => (await r.exists(b)) === 0)

  // Transactions about one key, and WATCH.
  assert.deepEqual(await r.multi().set(a, '1').incr(a).get(a).exec(), ['OK', 2, '2'])
  await r.watch(a)
  const other = await r.duplicate().connect()
  await other.set(a, '5')
  await assert.rejects(r.multi().set(a, '9').exec(), WatchError)
  assert.equal(await r.get(a), '5')
  other.destroy()

  // Scripts: EVALSHA, and EVAL where it is not known yet.
  await r.scriptFlush()
  assert.deepEqual([await r.raise(a, 5), await r.raise(a, 5)], [10, 15])
  const sha = await r.scriptLoad("return {1, 'two', KEYS[1]}")
  assert.deepEqual(await r.evalSha(sha, { keys: [a] }), [1, 'two', a])

  const names = Array.from({ length: 50 }, (_, n) => `node-redis:${RESP}:scan:${n}`)
  await Promise.all(names.map((name) => r.set(name, 'v')))
  const seen = new Set()
  for await (const keys of r.scanIterator({ MATCH: `node-redis:${RESP}:scan:*`, COUNT: 7 })) keys.forEach((key) => seen.add(key))
  assert.deepEqual([...seen].sort(), [...names].sort())
  assert.equal(await r.unlink(names), names.length)
  r.destroy()
}
