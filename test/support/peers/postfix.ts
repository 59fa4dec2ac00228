// A private Postfix: its own configuration, queue and port, run as a child and stopped with the test.

import { execFileSync } from 'node:child_process'
import { chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort, portOpens } from '../ports.ts'
import { Child, execute, TempFolder } from '../process.ts'
import { eventually } from '../wait.ts'
import { program } from './installed.ts'

export interface PostfixOptions {
  /** Where everything goes, `[127.0.0.1]:PORT`. */
  readonly relayhost: string
  /** Lines of main.cf that come last, so they win. */
  readonly settings?: Readonly<Record<string, string>>
}

const SERVICES = `
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`

function mainCf(folder: string, options: PostfixOptions): string {
  const settings: Record<string, string> = {
    compatibility_level: '3.6',
    queue_directory: join(folder, 'queue'),
    data_directory: join(folder, 'data'),
    command_directory: '/usr/sbin',
    daemon_directory: '/usr/lib/postfix/sbin',
    mail_owner: 'postfix',
    setgid_group: 'postdrop',
    myhostname: 'peer.rohrpost.test',
    mydestination: '',
    inet_interfaces: '127.0.0.1',
    inet_protocols: 'ipv4',
    mynetworks: '127.0.0.0/8',
    relayhost: options.relayhost,
    // Relaying only: no DNS, no maps, no local delivery.
    disable_dns_lookups: 'yes',
    smtp_host_lookup: 'native',
    smtpd_peername_lookup: 'no',
    alias_maps: '',
    alias_database: '',
    local_recipient_maps: '',
    maillog_file: join(folder, 'log/maillog'),
    maillog_file_prefixes: folder,
    ...options.settings,
  }
  return Object.entries(settings)
    .map(([name, value]) => `${name} = ${value}\n`)
    .join('')
}

/** A folder under which Postfix can run: its user owns the data directory. */
export function writePostfix(folder: string, port: number, options: PostfixOptions): string {
  const etc = join(folder, 'etc')
  for (const name of ['etc', 'queue', 'data', 'log']) mkdirSync(join(folder, name), { recursive: true, mode: 0o755 })
  const [uid, gid] = ['-u', '-g'].map((flag) => Number(execFileSync('id', [flag, 'postfix'], { encoding: 'utf8' }))) as [number, number]
  chownSync(join(folder, 'data'), uid, gid)
  writeFileSync(join(etc, 'main.cf'), mainCf(folder, options))
  writeFileSync(join(etc, 'master.cf'), `127.0.0.1:${port} inet n - n - - smtpd${SERVICES}`)
  return etc
}

export class Postfix {
  readonly port: number
  readonly child: Child
  readonly #folder: TempFolder
  readonly #etc: string

  private constructor(folder: TempFolder, etc: string, port: number) {
    this.#folder = folder
    this.#etc = etc
    this.port = port
    this.child = new Child([program('postfix'), '-c', etc, 'start-fg'])
  }

  static async start(options: PostfixOptions): Promise<Postfix> {
    const folder = new TempFolder('postfix')
    execFileSync('chmod', ['755', folder.path])
    const port = await freePort()
    const postfix = new Postfix(folder, writePostfix(folder.path, port, options), port)
    try {
      await portOpens(port, 20_000, () => postfix.output())
    } catch (error) {
      await postfix.stop()
      throw error
    }
    return postfix
  }

  /** The process whose descendants are this Postfix. */
  masterPid(): number {
    return Number(readFileSync(join(this.#folder.path, 'queue/pid/master.pid'), 'utf8'))
  }

  output(): string {
    const log = join(this.#folder.path, 'log/maillog')
    return this.child.output() + (existsSync(log) ? readFileSync(log, 'utf8') : '')
  }

  /** Ends it: the shell script above the master passes no signals on. */
  async stop(): Promise<void> {
    await execute([program('postfix'), '-c', this.#etc, 'stop'])
    await eventually(
      10_000,
      'postfix ends',
      () => (this.child.alive ? undefined : true),
      () => this.output(),
    )
    this.#folder[Symbol.dispose]()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }
}
