// A private unbound with zones of the test's own, and no way to the rest of the world.

import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../ports.ts'
import { Child, TempFolder } from '../process.ts'
import { program } from './installed.ts'

export interface UnboundOptions {
  /** Records in presentation form, `example.test. 300 IN MX 10 mx.example.test.` */
  readonly records: readonly string[]
  /** Names whose questions get no answer at all. */
  readonly silent?: readonly string[]
  /** Bytes above which UDP answers are truncated. */
  readonly maxUdpBytes?: number
}

function configuration(folder: string, port: number, options: UnboundOptions): string {
  const data = options.records.map((record) => `  local-data: '${record}'\n`).join('')
  const silent = (options.silent ?? []).map((name) => `  local-zone: "${name}" deny\n`).join('')
  return `server:
  interface: 127.0.0.1
  port: ${port}
  do-daemonize: no
  use-syslog: no
  logfile: ""
  verbosity: 1
  username: ""
  chroot: ""
  directory: "${folder}"
  pidfile: "${folder}/unbound.pid"
  do-not-query-localhost: no
  max-udp-size: ${options.maxUdpBytes ?? 1232}
  access-control: 127.0.0.0/8 allow
  module-config: "iterator"
  local-zone: "." static
${silent}${data}remote-control:
  control-enable: no
`
}

export class Unbound {
  readonly port: number
  readonly child: Child
  readonly #folder: TempFolder

  private constructor(folder: TempFolder, port: number) {
    this.#folder = folder
    this.port = port
    this.child = new Child([program('unbound'), '-d', '-c', join(folder.path, 'unbound.conf')])
  }

  static async start(options: UnboundOptions): Promise<Unbound> {
    const folder = new TempFolder('unbound')
    chmodSync(folder.path, 0o755)
    const port = await freePort()
    writeFileSync(join(folder.path, 'unbound.conf'), configuration(folder.path, port, options))
    const unbound = new Unbound(folder, port)
    await unbound.child.prints(/start of service/)
    return unbound
  }

  async stop(): Promise<void> {
    await this.child.stop()
    this.#folder[Symbol.dispose]()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }
}
