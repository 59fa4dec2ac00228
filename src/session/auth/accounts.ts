// The directory of accounts: one LMDB environment in the data directory. The command line writes it, every net thread
// reads it; LMDB is made for several processes, so a change is seen by the next login, without a reload.
//
// - Keys: `a:` + name holds an account, `m:secret` the installation's 32 secret bytes.
// - A change is on disk when its promise resolves.
// - The server only reads; its first net thread makes the directory before the others start.
// - Environments are shared inside a process and keep the flags of the first open.

import { randomBytes } from 'node:crypto'
import { mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { open, type RootDatabase } from 'lmdb'
import { assert } from '../../lib/assert.ts'
import { INDEX_FILE } from '../../spool/layout.ts'
import { checkHead, openError } from '../../spool/lmdb.ts'
import { nodeDisk } from '../../spool/nodedisk.ts'
import { ACCOUNT_NAME_BYTES_MAX } from './account-name.ts'
import { decodeAccount, encodeAccount } from './account-record.ts'
import type { Account, Directory } from './ports.ts'

const SECRET_KEY = 'm:secret'
const SECRET_BYTES = 32
/** All keys of accounts are from `a:` to before this. */
const ACCOUNTS_END = 'a;'

/** Where the directory stands in a data directory. */
export function accountsPath(dataDir: string): string {
  return join(dataDir, 'directory')
}

export class AccountDirectory implements Directory {
  readonly #db: RootDatabase<Buffer, string>
  readonly secret: Buffer

  private constructor(db: RootDatabase<Buffer, string>, secret: Buffer) {
    this.#db = db
    this.secret = secret
  }

  /** Opens the directory at `path`; it is made when it is not there. Rejects with SpoolFormatError when it is damaged. */
  static async open(path: string, access: 'read' | 'write'): Promise<AccountDirectory> {
    // An empty file is none yet, for readers too: another thread may be just about to make it.
    await checkHead(nodeDisk, join(path, INDEX_FILE), 'write')
    if (access === 'write') {
      mkdirSync(path, { recursive: true, mode: 0o700 })
      const db = openEnvironment(path, false)
      // Slots of readers that were killed would keep old pages from being used again.
      db.readerCheck()
      return new AccountDirectory(db, await makeSecret(db))
    }
    for (;;) {
      const db = isMade(path) ? openEnvironment(path, true) : undefined
      const secret = db?.getBinary(SECRET_KEY)
      if (db && secret) return new AccountDirectory(db, secret)
      // Nobody has made it yet, or another thread is just doing so: whoever comes first wins.
      await db?.close()
      const made = await AccountDirectory.open(path, 'write')
      await made.close()
    }
  }

  /** The account as it is on disk now. Throws AccountRecordError when its record cannot be read. */
  find(name: string): Account | undefined {
    if (Buffer.byteLength(name, 'utf8') > ACCOUNT_NAME_BYTES_MAX) return undefined
    // Another process may have written since this turn of the loop began.
    this.#db.resetReadTxn()
    const bytes = this.#db.getBinary(keyOf(name))
    return bytes && decodeAccount(bytes)
  }

  /** All accounts, by name. */
  *all(): Generator<Account, void, void> {
    this.#db.resetReadTxn()
    for (const { value } of this.#db.getRange({ start: 'a:', end: ACCOUNTS_END })) yield decodeAccount(value)
  }

  /** False when the name is taken. */
  async add(account: Account): Promise<boolean> {
    return await this.#change(account.name, (before) => (before === undefined ? account : undefined))
  }

  /** Stores what `change` makes of an account, in one transaction; false when it makes nothing of it. */
  async #change(name: string, change: (account: Account | undefined) => Account | undefined): Promise<boolean> {
    return await committed(
      this.#db.transaction(() => {
        const bytes = this.#db.getBinary(keyOf(name))
        const changed = change(bytes && decodeAccount(bytes))
        if (changed) this.#db.putSync(keyOf(name), encodeAccount(changed))
        return changed !== undefined
      }),
    )
  }

  /** False when there is no such account. */
  async update(name: string, change: (account: Account) => Account): Promise<boolean> {
    return await this.#change(name, (account) => account && change(account))
  }

  /** False when there was none. */
  async remove(name: string): Promise<boolean> {
    return await committed(this.#db.remove(keyOf(name)))
  }

  async close(): Promise<void> {
    await this.#db.close()
  }
}

function isMade(path: string): boolean {
  return (statSync(join(path, INDEX_FILE), { throwIfNoEntry: false })?.size ?? 0) > 0
}

function openEnvironment(path: string, readOnly: boolean): RootDatabase<Buffer, string> {
  try {
    return open<Buffer, string>({
      path,
      noSubdir: false,
      encoding: 'binary',
      overlappingSync: false,
      eventTurnBatching: false,
      maxReaders: 512,
      readOnly,
    })
  } catch (error) {
    throw openError(path, error)
  }
}

function keyOf(name: string): string {
  return `a:${name}`
}

/** lmdb-js says why a commit failed in a second promise, which must be caught too. */
async function committed<T>(commit: Promise<T>): Promise<T> {
  try {
    return await commit
  } catch (error) {
    if (error instanceof Error && 'commitError' in error) await error.commitError
    throw error
  }
}

/** The first process that opens the directory for writing decides; the others read what it decided. */
async function makeSecret(db: RootDatabase<Buffer, string>): Promise<Buffer> {
  const known = db.getBinary(SECRET_KEY)
  if (known) return known
  await committed(db.ifNoExists(SECRET_KEY, () => void db.put(SECRET_KEY, randomBytes(SECRET_BYTES))))
  db.resetReadTxn()
  const secret = db.getBinary(SECRET_KEY)
  assert(secret?.length === SECRET_BYTES, 'the secret was stored')
  return secret
}
