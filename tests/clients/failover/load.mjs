// Writes through the Sentinel or cluster client of ioredis or node-redis for a while; prints what happened, as JSON.
//
// usage: load.mjs {ioredis | node-redis} {sentinel | cluster} SECONDS
//
// The clients are made as README.md says, for nodes that may die. Every operation is a write, which is answered by a majority.

import Redis, { Cluster } from 'ioredis'
import { createCluster, createSentinel } from 'redis'
import { cluster, master, sentinels } from './server.mjs'

const WORKERS = 4
const [library, kind, seconds] = process.argv.slice(2)

const clients = {
  ioredis: {
    sentinel: () => new Redis({
      sentinels,
      name: master,
      connectTimeout: 500,
      sentinelRetryStrategy: () => 50,
      retryStrategy: () => 50,
    }),
    cluster: () => new Cluster(cluster, {
      slotsRefreshTimeout: 500,
      clusterRetryStrategy: () => 50,
      retryDelayOnFailover: 50,
      redisOptions: { connectTimeout: 500 },
    }),
  },
  'node-redis': {
    sentinel: () => createSentinel({
      name: master,
      sentinelRootNodes: sentinels,
      nodeClientOptions: { socket: { connectTimeout: 500, reconnectStrategy: false } },
      sentinelClientOptions: { socket: { connectTimeout: 500, reconnectStrategy: false } },
      scanInterval: 100,
    }).connect(),
    cluster: () => createCluster({
      rootNodes: cluster.map(({ host, port }) => ({ url: `redis://${host}:${port}` })),
      defaults: { socket: { connectTimeout: 500, reconnectStrategy: 50 } },
      topologyRefreshOnReconnectionAttemptStrategy: 50,
    }).connect(),
  },
}

const errors = {}
function note(why) {
  const text = `${why.name}: ${why.message}`.slice(0, 90)
  errors[text] = (errors[text] ?? 0) + 1
}

const client = await clients[library][kind]()
client.on('error', () => {})
const begun = performance.now()
const ended = begun + seconds * 1000
let [last, gap, succeeded] = [begun, 0, 0]

async function work(worker) {
  for (let count = 0; performance.now() < ended; count++) {
    try {
      await client.set(`failover:${worker}:${count % 100}`, String(count))
      const now = performance.now()
      gap = Math.max(gap, now - last)
      last = now
      succeeded++
    } catch (why) {
      note(why)
      await new Promise((resume) => setTimeout(resume, 5))
    }
  }
}

// A client that never answers again is to be told of, too.
const patience = new Promise((resume) => setTimeout(resume, seconds * 1000 + 2000))
await Promise.race([Promise.all(Array.from({ length: WORKERS }, (_, worker) => work(worker))), patience])
gap = Math.max(gap, Math.max(ended, performance.now()) - last)
console.log(JSON.stringify({ succeeded, longest_gap_ms: Math.round(gap), errors }))
process.exit()
