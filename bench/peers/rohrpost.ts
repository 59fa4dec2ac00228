// This checkout, on a configuration that relays everything to one place.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT, startServer, type Server } from '../../test/support/server.ts'
import { cpuUs, memoryBytes } from '../macro/proc.ts'
import type { Peer, Running, Setup } from './peer.ts'

export interface RohrpostRunning extends Running {
  readonly server: Server
}

/** The configuration of the relay suites, without listeners' ports. */
export function relayConfig(setup: Setup): Readonly<Record<string, unknown>> {
  return {
    hostname: 'mx.bench.test',
    threads: { ...setup.threads, inspect: 1 },
    ...(setup.tls ? { tls: setup.tls } : {}),
    listeners: [{ protocol: 'smtp', port: 0, tls: setup.tls ? 'starttls' : 'off' }],
    relayFrom: ['127.0.0.0/8'],
    routes: [{ domain: '*', to: `smtp://127.0.0.1:${setup.nextPort}` }],
    log: { level: 'warn' },
  }
}

async function start(setup: Setup): Promise<RohrpostRunning> {
  const server = await startServer(relayConfig(setup), setup.folder)
  return {
    server,
    port: server.port(),
    cpuUs: () => cpuUs(server.pid),
    memoryBytes: () => memoryBytes(server.pid),
    async stop(): Promise<void> {
      await server.stop(60_000)
    },
  }
}

export const rohrpost: Omit<Peer, 'start'> & { start(setup: Setup): Promise<RohrpostRunning> } = {
  name: 'rohrpost',
  durability: 'group commit, fdatasync before the 250',
  share: 1,
  version: () => Promise.resolve((JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }).version),
  start,
}
