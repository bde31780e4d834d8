// @keyv/redis: set, get, expire, delete, iterate and clear within a namespace.

import assert from 'node:assert/strict'
import KeyvRedis, { Keyv } from '@keyv/redis'
import { eventually, url } from './server.mjs'

const store = (namespace) => new Keyv({ store: new KeyvRedis(url), namespace })
const [ours, theirs] = [store('keyv'), store('others')]

assert.equal(await ours.set('a', { deep: [1, 2] }), true)
assert.deepEqual(await ours.get('a'), { deep: [1, 2] })
assert.equal(await ours.has('a'), true)
assert.equal(await theirs.get('a'), undefined)
await theirs.set('a', 'theirs')

await ours.set('b', 1, 100_000)
await ours.setMany([{ key: 'c', value: 2 }, { key: 'd', value: 3, ttl: 100_000 }])
assert.deepEqual(await ours.getMany(['b', 'c', 'd', 'e']), [1, 2, 3, undefined])
const seen = []
for await (const [key] of ours.iterator()) seen.push(key)
assert.deepEqual(seen.sort(), ['a', 'b', 'c', 'd'])

assert.equal(await ours.delete('a'), true)
assert.equal(await ours.delete('a'), false)
assert.equal(await ours.deleteMany(['b', 'c']), true)
await ours.set('short', 1, 50)
await eventually(async () => !(await ours.has('short')))
assert.equal(await ours.get('short'), undefined)

await ours.clear()
assert.equal(await ours.get('d'), undefined)
assert.equal(await theirs.get('a'), 'theirs')
process.exit()
