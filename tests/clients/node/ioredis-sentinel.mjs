// ioredis with Sentinel: it asks who the master is, and works there.

import assert from 'node:assert/strict'
import Redis from 'ioredis'
import { eventually, master, sentinels } from './server.mjs'

const r = new Redis({ sentinels, name: master })
assert.equal((await r.role())[0], 'master')
assert.equal(await r.set('ioredis-sentinel:a', '1', 'PX', 50, 'GET'), null)
await eventually(async () => (await r.get('ioredis-sentinel:a')) === null)
await r.del('ioredis-sentinel:counter')
assert.deepEqual(await Promise.all([1, 2, 3].map(() => r.incr('ioredis-sentinel:counter'))), [1, 2, 3])
process.exit()
