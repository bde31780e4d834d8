// rate-limiter-flexible: points are consumed, refused, given back and come again; over ioredis and node-redis.

import assert from 'node:assert/strict'
import Redis from 'ioredis'
import { RateLimiterRedis } from 'rate-limiter-flexible'
import { createClient } from 'redis'
import { eventually, host, port, url } from './server.mjs'

const clients = { ioredis: new Redis({ host, port }), 'node-redis': await createClient({ url }).connect() }
for (const [name, storeClient] of Object.entries(clients)) {
  const options = { storeClient, useRedisPackage: name === 'node-redis', keyPrefix: `flexible:${name}` }
  const limiter = new RateLimiterRedis({ ...options, points: 3, duration: 100 })
  for (const left of [2, 1, 0]) assert.equal((await limiter.consume('ann')).remainingPoints, left)
  const refused = await limiter.consume('ann').then(assert.fail, (why) => why)
  assert(refused.msBeforeNext > 90_000 && refused.remainingPoints === 0, String(refused))
  assert.equal((await limiter.get('ann')).consumedPoints, 4)
  assert.equal((await limiter.reward('ann', 2)).consumedPoints, 2)
  assert.equal((await limiter.penalty('ann')).consumedPoints, 3)
  assert.equal((await limiter.consume('bob', 3)).remainingPoints, 0)
  assert.equal(await limiter.delete('ann'), true)
  assert.equal(await limiter.get('ann'), null)
  await limiter.block('ann', 100)
  await assert.rejects(limiter.consume('ann'))

  const short = new RateLimiterRedis({ ...options, points: 1, duration: 1 })
  await eventually(() => short.consume('carl').then(() => false, () => true))
  await eventually(() => short.consume('carl').then(() => true, () => false))
}
process.exit()
