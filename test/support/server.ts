// A Rohrpost of this checkout as a child process, on a configuration of the test's own.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Child, execute, type Finished, TempFolder } from './process.ts'
import { caPath, serverTls } from './tls.ts'

export const ROOT: string = join(import.meta.dirname, '../..')

const PROGRAM = join(ROOT, 'src/rohrpost.js')
const READY = /^rohrpost ready (.*)$/m
const READY_MS = 30_000

/** A configuration as JSON; what it leaves out comes from `defaults`. */
export type ServerConfig = Readonly<Record<string, unknown>>

/** `NAME=HOST:PORT …` of the ready line. */
export function readyPorts(text: string): Record<string, number> {
  const ports: Record<string, number> = {}
  for (const word of text.trim().split(/\s+/)) {
    const match = /^([^=]+)=(?:\[[^\]]+\]|[^:]+):(\d+)$/.exec(word)
    if (!match) throw new Error(`not NAME=HOST:PORT in the ready line: ${word}`)
    ports[match[1] as string] = Number(match[2])
  }
  return ports
}

function defaults(dataDir: string): ServerConfig {
  return {
    hostname: 'mx.rohrpost.test',
    dataDir,
    threads: { net: 1, deliver: 1, inspect: 1 },
    tls: { cert: serverTls.cert, key: serverTls.key },
    listeners: [{ protocol: 'smtp', port: 0, tls: 'starttls' }],
    relayFrom: ['127.0.0.0/8', '::1'],
    routes: [{ domain: '*', to: 'smtp://127.0.0.1:1' }],
  }
}

export class Server {
  readonly ports: Readonly<Record<string, number>>
  readonly dataDir: string
  readonly configPath: string
  readonly child: Child
  readonly #folder: TempFolder | undefined

  constructor(child: Child, ports: Record<string, number>, dataDir: string, configPath: string, folder: TempFolder | undefined) {
    this.child = child
    this.ports = ports
    this.dataDir = dataDir
    this.configPath = configPath
    this.#folder = folder
  }

  get pid(): number {
    return this.child.pid
  }

  /** The port of a listener, by its name. */
  port(name = 'smtp'): number {
    const port = this.ports[name]
    if (port === undefined) throw new Error(`no listener ${name} in the ready line: ${Object.keys(this.ports).join(' ')}`)
    return port
  }

  /** Runs `rohrpost COMMAND --config FILE`. */
  command(...args: string[]): Promise<Finished> {
    return rohrpost([...args, '--config', this.configPath])
  }

  /** Drains by SIGTERM. Resolves with the exit code. */
  stop(ms?: number): Promise<number | null> {
    return this.child.stop(ms)
  }

  /** SIGKILL: nothing is drained. */
  async kill(): Promise<void> {
    this.child.signal('SIGKILL')
    await this.child.exited
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.stop()
    } finally {
      this.#folder?.[Symbol.dispose]()
    }
  }
}

/** Runs the program to its end. */
export function rohrpost(args: readonly string[], input?: string): Promise<Finished> {
  return execute([process.execPath, PROGRAM, ...args], input === undefined ? {} : { input })
}

/**
 * Starts a server and waits for its ready line.
 * @param folder where configuration and data lie; without it a temporary one that goes away with the server
 */
export async function startServer(config: ServerConfig, folder?: string): Promise<Server> {
  const temporary = folder === undefined ? new TempFolder('server') : undefined
  const at = folder ?? (temporary as TempFolder).path
  const whole = { ...defaults(join(at, 'data')), ...config }
  const configPath = join(at, 'rohrpost.config.json')
  writeFileSync(configPath, JSON.stringify(whole, null, 2))
  const child = spawnServer(configPath)
  try {
    const match = await child.prints(READY, READY_MS)
    return new Server(child, readyPorts(match[1] as string), String(whole['dataDir']), configPath, temporary)
  } catch (error) {
    child.signal('SIGKILL')
    temporary?.[Symbol.dispose]()
    throw error
  }
}

/** Starts the program without waiting for anything. */
export function spawnServer(configPath: string): Child {
  return new Child([process.execPath, PROGRAM, 'start', '--config', configPath], {
    cwd: ROOT,
    env: { NODE_EXTRA_CA_CERTS: caPath },
  })
}
