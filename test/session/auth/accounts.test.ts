import assert from 'node:assert/strict'
import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface, type Interface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { test, type TestContext } from 'node:test'
import { Worker } from 'node:worker_threads'
import { Packr } from 'msgpackr'
import { AccountRecordError, decodeAccount, encodeAccount } from '../../../src/session/auth/account-record.ts'
import { AccountDirectory, accountsPath } from '../../../src/session/auth/accounts.ts'
import { accountOf } from './twins.ts'

function folder(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'rohrpost-accounts-'))
  t.after(() => rmSync(dir, { recursive: true }))
  return accountsPath(dir)
}

const ANNA = accountOf('anna@example.org', 'pencil', {
  aliases: ['office@example.org', '*@example.net'],
  quota: { messagesPerHour: 10, recipientsPerHour: 100 },
  disabled: true,
  createdAt: 1_700_000_000_000,
})

test('a record survives its bytes', () => {
  assert.deepEqual(decodeAccount(encodeAccount(ANNA)), ANNA)
})

test('bytes that are no record of this version are an error', () => {
  const fields = new Packr({ useRecords: false }).unpack(encodeAccount(ANNA)) as unknown[]
  const pack = (value: unknown): Buffer => new Packr({ useRecords: false }).pack(value)
  const changed = (at: number, value: unknown): Buffer => pack(fields.map((field, i) => (i === at ? value : field)))
  const whole = encodeAccount(ANNA)
  const cases: readonly Buffer[] = [
    Buffer.alloc(0),
    Buffer.from('garbage'),
    whole.subarray(0, whole.length - 10),
    pack({}),
    pack(fields.slice(0, 9)),
    changed(0, 2),
    changed(1, 7),
    changed(2, 'alias'),
    changed(2, [7]),
    changed(5, 1),
    changed(8, []),
    changed(9, ['salt', 1, 'key', 'key']),
  ]
  for (const bytes of cases) assert.throws(() => decodeAccount(bytes), AccountRecordError)
})

test('accounts are added once, changed, listed by name and removed', async (t) => {
  const directory = await AccountDirectory.open(folder(t), 'write')
  t.after(() => directory.close())
  assert.equal(await directory.add(ANNA), true)
  assert.equal(await directory.add({ ...ANNA, disabled: false }), false)
  assert.deepEqual(directory.find('anna@example.org'), ANNA)
  assert.equal(await directory.update('anna@example.org', (account) => ({ ...account, disabled: false })), true)
  assert.equal(await directory.update('bert@example.org', (account) => account), false)
  await directory.add(accountOf('Aaron@example.org'.toLowerCase(), 'x'))
  assert.deepEqual(
    [...directory.all()].map(({ name, disabled }) => [name, disabled]),
    [
      ['aaron@example.org', false],
      ['anna@example.org', false],
    ],
  )
  assert.equal(await directory.remove('anna@example.org'), true)
  assert.equal(directory.find('anna@example.org'), undefined)
  assert.equal(directory.find('x'.repeat(5000)), undefined)
})

test('the secret stays, and the folder is nobody else’s', async (t) => {
  const path = folder(t)
  const first = await AccountDirectory.open(path, 'write')
  const { secret } = first
  await first.close()
  const second = await AccountDirectory.open(path, 'write')
  t.after(() => second.close())
  assert.equal(secret.length, 32)
  assert.deepEqual(second.secret, secret)
  assert.equal(statSync(path).mode & 0o777, 0o700)
})

test('opening for reading makes an empty directory', async (t) => {
  const directory = await AccountDirectory.open(folder(t), 'read')
  t.after(() => directory.close())
  assert.equal(directory.find('anna@example.org'), undefined)
  assert.equal(directory.secret.length, 32)
})

test('threads that open the directory at once agree on its secret', async (t) => {
  const path = folder(t)
  // As net.1 does before the others start: one thread that makes an environment while another of its process opens it
  // meets lmdb-js with half of it ("No transaction to renew", once in 3,000 times).
  await (await AccountDirectory.open(path, 'read')).close()
  const code = `
    const { workerData, parentPort } = require('node:worker_threads')
    import(workerData.url).then(async ({ AccountDirectory }) => {
      const directory = await AccountDirectory.open(workerData.path, 'read')
      parentPort.postMessage(directory.secret.toString('hex'))
      await directory.close()
    })`
  const url = new URL('../../../src/session/auth/accounts.ts', import.meta.url).href
  const secrets = Array.from({ length: 4 }, () => {
    const worker = new Worker(code, { eval: true, workerData: { path, url } })
    return new Promise<string>((resolve, reject) => worker.once('message', resolve).once('error', reject))
  })
  const [first, ...others] = await Promise.all(secrets)
  assert.match(first ?? '', /^[0-9a-f]{64}$/)
  for (const secret of others) assert.equal(secret, first)
})

test('a directory that another thread has begun to make is not taken for a damaged one', async (t) => {
  const path = folder(t)
  mkdirSync(path, { recursive: true })
  writeFileSync(join(path, 'data.mdb'), '')
  const directory = await AccountDirectory.open(path, 'read')
  t.after(() => directory.close())
  assert.equal(directory.secret.length, 32)
})

/** Another process that adds and removes accounts when told. */
class OtherProcess {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>
  readonly #lines: Interface

  constructor(path: string) {
    const url = (name: string): string => new URL(name, import.meta.url).href
    const code = `
      const { AccountDirectory } = await import('${url('../../../src/session/auth/accounts.ts')}')
      const { accountOf } = await import('${url('./twins.ts')}')
      const directory = await AccountDirectory.open(${JSON.stringify(path)}, 'write')
      console.log('secret ' + directory.secret.toString('hex'))
      const { createInterface } = await import('node:readline')
      for await (const line of createInterface({ input: process.stdin })) {
        const [verb, name] = line.split(' ')
        if (verb === 'add') await directory.add(accountOf(name, 'pencil'))
        if (verb === 'fill') for (let i = 0; i < 500; i++) await directory.add(accountOf(i + name, 'pencil', { aliases: ['x'.repeat(5000)] }))
        if (verb === 'remove') await directory.remove(name)
        if (verb === 'die') process.kill(process.pid, 'SIGKILL')
        console.log('done')
      }`
    this.#child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#lines = createInterface({ input: this.#child.stdout })
  }

  async line(): Promise<string> {
    const [line] = (await once(this.#lines, 'line')) as [string]
    return line
  }

  async tell(command: string): Promise<string> {
    const answer = this.line()
    this.#child.stdin.write(`${command}\n`)
    return answer
  }

  async die(): Promise<void> {
    const ended = once(this.#child, 'exit')
    this.#child.stdin.write('die\n')
    await ended
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }
}

test('what another process writes is seen at once, also when the file grows, and its death leaves the directory whole', async (t) => {
  const path = folder(t)
  const directory = await AccountDirectory.open(path, 'read')
  t.after(() => directory.close())
  const other = new OtherProcess(path)
  t.after(() => other.kill())
  assert.equal(await other.line(), `secret ${directory.secret.toString('hex')}`)
  await other.tell('add anna@example.org')
  assert.equal(directory.find('anna@example.org')?.name, 'anna@example.org')
  await other.tell('remove anna@example.org')
  assert.equal(directory.find('anna@example.org'), undefined)
  await other.tell('fill @example.org')
  assert.equal([...directory.all()].length, 500)
  await other.die()
  assert.equal([...directory.all()].length, 500)
  const next = new OtherProcess(path)
  t.after(() => next.kill())
  await next.line()
  await next.tell('add bert@example.org')
  assert.equal(directory.find('bert@example.org')?.name, 'bert@example.org')
})
