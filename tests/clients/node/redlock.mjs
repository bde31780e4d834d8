// node-redlock, the release and the long-lived beta: a lock is taken, refused, extended, released and expires.

import assert from 'node:assert/strict'
import Redis from 'ioredis'
import Redlock4 from 'redlock'
import Redlock5 from 'redlock-5'
import { eventually, host, port } from './server.mjs'

const r = new Redis({ host, port })

async function check(name, redlock, acquire) {
  redlock.on('error', () => {})
  let lock = await acquire(`${name}:a`, 30_000)
  await assert.rejects(acquire(`${name}:a`, 30_000))
  lock = await lock.extend(60_000)
  assert((await r.pttl(`${name}:a`)) > 30_000)
  await (lock.release ?? lock.unlock).call(lock)
  assert.equal(await r.exists(`${name}:a`), 0)

  const short = await acquire(`${name}:b`, 200)
  await eventually(async () => (await r.exists(`${name}:b`)) === 0)
  const next = await acquire(`${name}:b`, 30_000)
  await assert.rejects(short.extend(30_000))
  // Who lost the lock does not release that of another.
  await Promise.resolve((short.release ?? short.unlock).call(short)).catch(() => {})
  await assert.rejects(acquire(`${name}:b`, 30_000))
  await (next.release ?? next.unlock).call(next)
}

const four = new Redlock4([r], { retryCount: 0 })
await check('redlock-4', four, (key, ms) => four.lock(key, ms))
const five = new Redlock5([r], { retryCount: 0 })
await check('redlock-5', five, (key, ms) => five.acquire([key], ms))
process.exit()
