// A private OpenSMTPD, unpacked from Debian's package. The paths of its spool and its control socket are compiled in, so it
// runs in a mount namespace of its own in which they are temporary folders.

import { execFileSync } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort, portOpens } from '../ports.ts'
import { Child, TempFolder } from '../process.ts'
import { peerTls } from '../tls.ts'
import { program } from './installed.ts'

const SPOOL = '/var/spool/smtpd'

export interface OpenSmtpdOptions {
  /** Where everything goes: `smtp+tls://127.0.0.1:PORT`, or `smtp+notls://…`. */
  readonly relay: string
}

/** The version as a number: 6.8, 7.6. */
export function openSmtpdVersion(): number {
  // `smtpd -h` prints version and usage to stderr and exits 1.
  const text = execFileSync('/bin/sh', ['-c', `${program('smtpd')} -h 2>&1 || true`], { encoding: 'utf8' })
  return Number(/OpenSMTPD (\d+\.\d+)/.exec(text)?.[1] ?? 0)
}

/** Before 7.0 its privilege separation loses the private key under OpenSSL 3: it offers STARTTLS and every handshake fails. */
export function tlsServerWorks(): boolean {
  return openSmtpdVersion() >= 7
}

function configuration(folder: string, port: number, options: OpenSmtpdOptions): string {
  const noVerify = options.relay.startsWith('smtp+tls') ? ' tls no-verify' : ''
  return `pki peer cert "${folder}/cert.pem"
pki peer key "${folder}/key.pem"
listen on 127.0.0.1 port ${port} ${tlsServerWorks() ? 'tls-require' : 'tls'} pki peer hostname peer.rohrpost.test
action "out" relay helo "peer.rohrpost.test" host "${options.relay}"${noVerify}
match from any for any action "out"
`
}

export class OpenSmtpd {
  readonly port: number
  readonly child: Child
  readonly #folder: TempFolder

  private constructor(folder: TempFolder, port: number) {
    this.#folder = folder
    this.port = port
    const script = `mount --bind ${folder.path}/spool ${SPOOL} && mount -t tmpfs tmpfs /run && exec ${program('smtpd')} -d -v -f ${folder.path}/smtpd.conf`
    this.child = new Child(['unshare', '--mount', '--propagation', 'private', '/bin/sh', '-c', script])
  }

  static async start(options: OpenSmtpdOptions): Promise<OpenSmtpd> {
    const folder = new TempFolder('opensmtpd')
    chmodSync(folder.path, 0o711)
    mkdirSync(join(folder.path, 'spool'), { mode: 0o711 })
    mkdirSync(SPOOL, { recursive: true })
    copyFileSync(peerTls.cert, join(folder.path, 'cert.pem'))
    copyFileSync(peerTls.key, join(folder.path, 'key.pem'))
    chmodSync(join(folder.path, 'key.pem'), 0o600)
    const port = await freePort()
    writeFileSync(join(folder.path, 'smtpd.conf'), configuration(folder.path, port, options), { mode: 0o600 })
    const peer = new OpenSmtpd(folder, port)
    try {
      await portOpens(port, 20_000, () => peer.child.output())
    } catch (error) {
      await peer.stop()
      throw error
    }
    return peer
  }

  async stop(): Promise<void> {
    await this.child.stop()
    this.#folder[Symbol.dispose]()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }
}
