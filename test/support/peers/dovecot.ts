// A private Dovecot that does one thing: take mail by LMTP and lay it into Maildirs.

import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { freePort, portOpens } from '../ports.ts'
import { Child, TempFolder } from '../process.ts'
import { eventually } from '../wait.ts'
import { program } from './installed.ts'

/** 2.4 (Debian 13) renamed most settings and refuses files that do not begin with its version. */
function isNewSyntax(): boolean {
  const version = execFileSync(program('dovecot'), ['--version'], { encoding: 'utf8' })
  return !version.startsWith('2.3.')
}

function oldStyle(folder: string): string {
  return `mail_location = maildir:${folder}/mail/%Lu
protocols = lmtp
passdb {
  driver = static
  args = password=x
}
userdb {
  driver = passwd-file
  args = username_format=%u ${folder}/users
}
`
}

function newStyle(folder: string): string {
  return `mail_driver = maildir
mail_path = ${folder}/mail/%{user | lower}
protocols {
  lmtp = yes
}
passdb static {
  password = x
}
userdb passwd-file {
  passwd_file_path = ${folder}/users
}
`
}

function configuration(folder: string, port: number): string {
  const isNew = isNewSyntax()
  const versions = 'dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n'
  return `${isNew ? versions : ''}base_dir = ${folder}/run
state_dir = ${folder}/state
log_path = /dev/stderr
ssl = no
listen = 127.0.0.1
default_internal_user = dovecot
default_login_user = dovenull
first_valid_uid = 1
mail_uid = mail
mail_gid = mail
postmaster_address = postmaster@rohrpost.test
lmtp_save_to_detail_mailbox = no
service lmtp {
  inet_listener lmtp {
    port = ${port}
  }
  unix_listener lmtp {
    mode = 0600
  }
}
${isNew ? newStyle(folder) : oldStyle(folder)}`
}

export class Dovecot {
  readonly port: number
  /** The same service's socket. */
  readonly path: string
  readonly child: Child
  readonly #folder: TempFolder

  private constructor(folder: TempFolder, port: number) {
    this.#folder = folder
    this.port = port
    this.path = join(folder.path, 'run/lmtp')
    this.child = new Child([program('dovecot'), '-F', '-c', join(folder.path, 'dovecot.conf')])
  }

  /** @param users the addresses that exist; others are answered 550 */
  static async start(users: readonly string[]): Promise<Dovecot> {
    const folder = new TempFolder('dovecot')
    chmodSync(folder.path, 0o755)
    for (const name of ['run', 'state', 'mail']) mkdirSync(join(folder.path, name))
    execFileSync('chown', ['mail:mail', join(folder.path, 'mail')])
    writeFileSync(join(folder.path, 'users'), users.map((user) => `${user}::::::\n`).join(''))
    const port = await freePort()
    writeFileSync(join(folder.path, 'dovecot.conf'), configuration(folder.path, port))
    const dovecot = new Dovecot(folder, port)
    try {
      await portOpens(port, 20_000, () => dovecot.child.output())
    } catch (error) {
      await dovecot.stop()
      throw error
    }
    return dovecot
  }

  #messages(user: string): string[] {
    const folder = join(this.#folder.path, 'mail', user, 'new')
    try {
      return readdirSync(folder).map((name) => readFileSync(join(folder, name), 'latin1'))
    } catch {
      return []
    }
  }

  /** Resolves once the Maildir of a user holds so many messages, with them. */
  mailbox(user: string, count: number, ms = 30_000): Promise<string[]> {
    const probe = (): string[] | undefined => {
      const messages = this.#messages(user)
      return messages.length >= count ? messages : undefined
    }
    return eventually(ms, `${count} messages for ${user}`, probe, () => this.child.output())
  }

  async stop(): Promise<void> {
    await this.child.stop()
    this.#folder[Symbol.dispose]()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }
}
