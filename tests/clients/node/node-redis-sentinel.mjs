// node-redis with Sentinel: it asks who the master is, and works there.

import assert from 'node:assert/strict'
import { createSentinel } from 'redis'
import { eventually, master, sentinels } from './server.mjs'

const r = await createSentinel({ name: master, sentinelRootNodes: sentinels }).connect()
assert.equal(await r.set('node-redis-sentinel:a', '1', { PX: 50 }), 'OK')
await eventually(async () => (await r.get('node-redis-sentinel:a')) === null)
await r.del('node-redis-sentinel:counter')
assert.deepEqual(await Promise.all([1, 2, 3].map(() => r.incr('node-redis-sentinel:counter'))), [1, 2, 3])
process.exit()
