// Where the server is, as `run` says, and how to wait for what takes its time.

import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'

function addresses(variable) {
  return process.env[variable].split(',').map((one) => {
    const [host, port] = one.split(':')
    return { host, port: Number(port) }
  })
}

/** What plain clients connect to. */
export const { host, port } = addresses('KV_NODE')[0]
export const url = `redis://${host}:${port}`
/** Where a cluster client begins. */
export const cluster = addresses('KV_CLUSTER')
/** Who is asked for the master, and the name it goes by. */
export const sentinels = addresses('KV_SENTINEL')
export const master = 'mymaster'

/** Waits until the condition holds; fails if it does not within so many seconds. */
export async function eventually(condition, within = 10) {
  const end = performance.now() + within * 1000
  while (!(await condition())) {
    assert(performance.now() < end, `not within ${within} s`)
    await sleep(20)
  }
}
