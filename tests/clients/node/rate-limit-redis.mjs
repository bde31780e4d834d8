// rate-limit-redis: express-rate-limit's store for Redis, behind a real Express.

import assert from 'node:assert/strict'
import express from 'express'
import { rateLimit } from 'express-rate-limit'
import { RedisStore } from 'rate-limit-redis'
import { createClient } from 'redis'
import { eventually, url } from './server.mjs'

const r = await createClient({ url }).connect()
const store = (prefix) => new RedisStore({ prefix, sendCommand: (...args) => r.sendCommand(args) })
const hours = store('rate-limit-redis:hours:')

const app = express()
app.use('/hours', rateLimit({ windowMs: 3_600_000, limit: 3, store: hours, standardHeaders: 'draft-6', legacyHeaders: false }))
app.use('/seconds', rateLimit({ windowMs: 1000, limit: 1, store: store('rate-limit-redis:seconds:') }))
app.use((_, response) => response.send('served'))
const server = app.listen(0, '127.0.0.1')
await new Promise((listening) => server.once('listening', listening))
const get = (path) => fetch(`http://127.0.0.1:${server.address().port}${path}`)

for (const left of ['2', '1', '0']) assert.equal((await get('/hours')).headers.get('ratelimit-remaining'), left)
const refused = await get('/hours')
assert.equal(refused.status, 429)
assert(Number(refused.headers.get('ratelimit-reset')) > 3500)

assert.equal((await hours.get('127.0.0.1')).totalHits, 4)
await hours.decrement('127.0.0.1')
assert.equal((await hours.get('127.0.0.1')).totalHits, 3)
await hours.resetKey('127.0.0.1')
assert.equal((await get('/hours')).status, 200)

await eventually(async () => (await get('/seconds')).status === 429)
await eventually(async () => (await get('/seconds')).status === 200)
process.exit()
