// Haraka from npm, installed into a folder outside the repository and kept there for the next run.

import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort, portOpens } from '../../test/support/ports.ts'
import { Child, execute } from '../../test/support/process.ts'
import { treeCpuUs } from '../macro/proc.ts'
import type { Peer, Running, Setup } from './peer.ts'

const VERSION = '3.3.4'
const HOME = join(tmpdir(), `rohrpost-bench-haraka-${VERSION}`)
const PACKAGE = join(HOME, 'node_modules/Haraka')

/** Relays all it gets to one port; its outbound queue writes and fsyncs a file a message before the 250. */
const PLUGIN = `exports.hook_connect = (next, connection) => { connection.relaying = true; next() }
exports.hook_rcpt = (next) => next(OK)
exports.hook_get_mx = (next) => next(OK, { priority: 0, exchange: '127.0.0.1', port: PORT })
`

async function install(): Promise<void> {
  if (existsSync(PACKAGE)) return
  mkdirSync(HOME, { recursive: true })
  writeFileSync(join(HOME, 'package.json'), '{ "private": true }')
  const ran = await execute(['npm', 'install', '--no-audit', '--no-fund', '--omit=optional', `Haraka@${VERSION}`], {
    cwd: HOME,
    ms: 180_000,
  })
  if (ran.code !== 0) throw new Error(`haraka does not install\n${ran.stdout}${ran.stderr}`)
}

function configure(folder: string, port: number, setup: Setup): void {
  for (const name of ['config', 'plugins', 'queue']) mkdirSync(join(folder, name), { recursive: true })
  const write = (name: string, text: string): void => writeFileSync(join(folder, name), text)
  // Read whole: it has no defaults in the code.
  copyFileSync(join(PACKAGE, 'config/connection.ini'), join(folder, 'config/connection.ini'))
  write('config/smtp.ini', `listen=127.0.0.1:${port}\nnodes=0\n`)
  write('config/plugins', `${setup.tls ? 'tls\n' : ''}bench_relay\n`)
  write('config/outbound.ini', `concurrency_max=100\nlocal_mx_ok=true\nenable_tls=${setup.tls ? 'true' : 'false'}\n`)
  write('config/loglevel', 'ERROR')
  write('config/log.ini', '[main]\nlevel=error\n')
  write('config/databytes', '0')
  write('config/me', 'haraka.bench.test')
  write('config/host_list', 'haraka.bench.test\n')
  write('plugins/bench_relay.js', PLUGIN.replace('PORT', String(setup.nextPort)))
  if (setup.tls) {
    write('config/tls_cert.pem', readFileSync(setup.tls.cert, 'utf8'))
    write('config/tls_key.pem', readFileSync(setup.tls.key, 'utf8'))
  }
}

async function start(setup: Setup): Promise<Running> {
  await install()
  const port = await freePort()
  configure(setup.folder, port, setup)
  const child = new Child([process.execPath, join(PACKAGE, 'bin/haraka'), '-c', setup.folder])
  try {
    await portOpens(port, 30_000, () => child.output())
  } catch (error) {
    child.signal('SIGKILL')
    throw error
  }
  return {
    port,
    cpuUs: () => treeCpuUs(child.pid),
    memoryBytes: () => undefined,
    async stop(): Promise<void> {
      child.signal('SIGKILL')
      await child.exited
    },
  }
}

export const haraka: Peer = {
  name: 'haraka',
  durability: 'a file a message, fsync before the 250',
  share: 0.25,
  version: () => Promise.resolve(VERSION),
  start,
}
