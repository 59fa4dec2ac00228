// A private Exim, unpacked from Debian's package: relays all it gets, with or without TLS on either side.

import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { freePort, portOpens } from '../ports.ts'
import { Child, TempFolder } from '../process.ts'
import { peerTls } from '../tls.ts'
import { program } from './installed.ts'

const USER = 'Debian-exim'

export interface EximOptions {
  /** Port on 127.0.0.1 to which everything goes. */
  readonly nextPort: number
  /** Whether it insists on TLS there. */
  readonly requireTls: boolean
}

function configuration(folder: string, port: number, options: EximOptions): string {
  return `exim_path = ${program('exim4')}
primary_hostname = peer.rohrpost.test
spool_directory = ${folder}/spool
log_file_path = ${folder}/spool/%slog
pid_file_path = ${folder}/spool/exim.pid
exim_user = ${USER}
exim_group = ${USER}
local_interfaces = 127.0.0.1
daemon_smtp_ports = ${port}
tls_advertise_hosts = *
tls_certificate = ${folder}/cert.pem
tls_privatekey = ${folder}/key.pem
acl_smtp_rcpt = acl_rcpt
acl_smtp_data = accept
host_lookup =
rfc1413_query_timeout = 0s
keep_environment =
chunking_advertise_hosts = *
dsn_advertise_hosts = *
smtputf8_advertise_hosts = *
begin acl
acl_rcpt:
  deny condition = \${if eq{$tls_in_cipher}{}}
       message = TLS first
  accept hosts = 127.0.0.1
begin routers
all:
  driver = manualroute
  route_list = * 127.0.0.1
  transport = out
  self = send
begin transports
out:
  driver = smtp
  port = ${options.nextPort}
  allow_localhost
  hosts_require_tls = ${options.requireTls ? '*' : ''}
  hosts_avoid_tls = ${options.requireTls ? '' : '*'}
  tls_verify_hosts =
  tls_try_verify_hosts =
begin retry
* * F,1h,2s
`
}

export class Exim {
  readonly port: number
  readonly child: Child
  readonly #folder: TempFolder

  private constructor(folder: TempFolder, port: number) {
    this.#folder = folder
    this.port = port
    this.child = new Child([program('exim4'), '-C', join(folder.path, 'exim.conf'), '-bdf', '-q2s'])
  }

  static async start(options: EximOptions): Promise<Exim> {
    const folder = new TempFolder('exim')
    chmodSync(folder.path, 0o755)
    mkdirSync(join(folder.path, 'spool'))
    copyFileSync(peerTls.cert, join(folder.path, 'cert.pem'))
    copyFileSync(peerTls.key, join(folder.path, 'key.pem'))
    execFileSync('chown', ['-R', `${USER}:`, join(folder.path, 'spool'), join(folder.path, 'key.pem')])
    const port = await freePort()
    // Exim takes a configuration only when root owns it.
    writeFileSync(join(folder.path, 'exim.conf'), configuration(folder.path, port, options), { mode: 0o644 })
    const exim = new Exim(folder, port)
    try {
      await portOpens(port, 20_000, () => exim.output())
    } catch (error) {
      await exim.stop()
      throw error
    }
    return exim
  }

  output(): string {
    return this.child.output() + this.log()
  }

  log(): string {
    try {
      return readFileSync(join(this.#folder.path, 'spool/mainlog'), 'utf8')
    } catch {
      return 'no log yet'
    }
  }

  async stop(): Promise<void> {
    await this.child.stop()
    this.#folder[Symbol.dispose]()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }
}
