// A private haproxy: TCP in front of a server, with PROXY protocol v1 or v2.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort, portListens } from '../ports.ts'
import { Child, TempFolder } from '../process.ts'
import { program } from './installed.ts'

export interface HaproxyOptions {
  /** Port on 127.0.0.1 of the server behind it. */
  readonly target: number
  readonly send: 'send-proxy' | 'send-proxy-v2'
}

export class Haproxy {
  readonly port: number
  readonly child: Child
  readonly #folder: TempFolder

  private constructor(folder: TempFolder, port: number) {
    this.#folder = folder
    this.port = port
    this.child = new Child([program('haproxy'), '-db', '-f', join(folder.path, 'haproxy.cfg')])
  }

  static async start(options: HaproxyOptions): Promise<Haproxy> {
    const folder = new TempFolder('haproxy')
    const port = await freePort()
    writeFileSync(
      join(folder.path, 'haproxy.cfg'),
      `global
  maxconn 100
  log stdout format raw local0
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend in
  bind 127.0.0.1:${port}
  bind [::1]:${port}
  default_backend out
backend out
  server ours 127.0.0.1:${options.target} ${options.send}
`,
    )
    const haproxy = new Haproxy(folder, port)
    try {
      await portListens(port, 15_000, () => haproxy.child.output())
    } catch (error) {
      await haproxy.stop()
      throw error
    }
    return haproxy
  }

  async stop(): Promise<void> {
    await this.child.stop()
    this.#folder[Symbol.dispose]()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }
}
