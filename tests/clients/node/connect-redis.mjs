// connect-redis: express-session's store for Redis, behind a real Express.

import assert from 'node:assert/strict'
import { promisify } from 'node:util'
import { RedisStore } from 'connect-redis'
import express from 'express'
import session from 'express-session'
import { createClient } from 'redis'
import { eventually, url } from './server.mjs'

const client = await createClient({ url }).connect()
const store = new RedisStore({ client, prefix: 'connect-redis:', ttl: 100 })
const app = express()
app.use(session({ store, secret: 'a secret', resave: false, saveUninitialized: false }))
app.get('/visit', (request, response) => {
  request.session.visits = (request.session.visits ?? 0) + 1
  response.send(String(request.session.visits))
})
app.get('/hasty', (request, response) => {
  request.session.cookie.maxAge = 1000
  request.session.visits = 0
  response.send('soon over')
})
app.get('/leave', (request, response) => request.session.destroy(() => response.send('left')))
const server = app.listen(0, '127.0.0.1')
await new Promise((listening) => server.once('listening', listening))

/** A browser, which has a cookie. */
function browser() {
  let cookie
  return async (path) => {
    const response = await fetch(`http://127.0.0.1:${server.address().port}${path}`, { headers: cookie ? { cookie } : {} })
    cookie = response.headers.get('set-cookie')?.split(';')[0] ?? cookie
    return response.text()
  }
}

const [ann, bob] = [browser(), browser()]
assert.deepEqual([await ann('/visit'), await ann('/visit'), await bob('/visit'), await ann('/visit')], ['1', '2', '1', '3'])
const length = promisify(store.length.bind(store))
assert.equal(await length(), 2)
assert.equal((await promisify(store.ids.bind(store))()).length, 2)
assert.deepEqual((await promisify(store.all.bind(store))()).map(({ visits }) => visits).sort(), [1, 3])
const [key] = (await client.scanIterator({ MATCH: 'connect-redis:*' }).next()).value
assert((await client.ttl(key)) > 90)

await ann('/leave')
assert.equal(await length(), 1)
await bob('/hasty')
await eventually(async () => (await length()) === 0)
assert.equal(await bob('/visit'), '1')
await promisify(store.clear.bind(store))()
assert.equal(await length(), 0)
process.exit()
