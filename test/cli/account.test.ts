import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { CliError, type CommandContext } from '../../src/cli/command.ts'
import { Output } from '../../src/cli/output.ts'
import { readPassword } from '../../src/cli/password.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { AccountDirectory, accountsPath } from '../../src/session/auth/accounts.ts'
import { verifyPassword } from '../../src/session/auth/password-hash.ts'
import type { Account } from '../../src/session/auth/ports.ts'
import { TempFolder } from '../support/process.ts'
import { run } from './run.ts'

class Installation implements Disposable {
  readonly #folder: TempFolder = new TempFolder('account')
  readonly #file: string
  readonly dataDir: string

  constructor(config: object = {}) {
    this.dataDir = join(this.#folder.path, 'data')
    this.#file = join(this.#folder.path, 'rohrpost.config.json')
    writeFileSync(this.#file, JSON.stringify({ hostname: 'mx.example.org', dataDir: this.dataDir, ...config }))
  }

  run(words: readonly string[], stdin = ''): ReturnType<typeof run> {
    return run(['account', ...words, '--config', this.#file], { input: stdin })
  }

  async account(name: string): Promise<Account | undefined> {
    const directory = await AccountDirectory.open(accountsPath(this.dataDir), 'read')
    const account = directory.find(name)
    await directory.close()
    return account
  }

  [Symbol.dispose](): void {
    this.#folder[Symbol.dispose]()
  }
}

test('an account is added, listed, changed, given a new password and removed', async () => {
  using here = new Installation()
  const options = ['--alias', 'office@Example.org', '--alias', '*@example.net', '--quota-messages', '100', '--quota-recipients', '1000']
  assert.deepEqual(await here.run(['add', 'Anna@Example.org', '--password-stdin', ...options], 'pencil\nmore\n'), {
    code: 0,
    out: 'anna@example.org added\n',
    err: '',
  })
  const added = (await here.account('anna@example.org')) ?? assert.fail('not there')
  assert.equal(verifyPassword(added.argon2id, 'pencil'), true)

  const { out } = await here.run(['list', '--json'])
  assert.deepEqual(JSON.parse(out), {
    name: 'anna@example.org',
    aliases: ['office@example.org', '*@example.net'],
    messagesPerHour: 100,
    recipientsPerHour: 1000,
    disabled: false,
    createdAt: new Date(added.createdAt).toISOString(),
    origin: 'directory',
  })

  assert.equal((await here.run(['set', 'anna@example.org', '--no-aliases', '--disable', '--quota-messages', '0'])).code, 0)
  const changed = await here.account('anna@example.org')
  assert.deepEqual(changed, { ...added, aliases: [], disabled: true, quota: { messagesPerHour: 0, recipientsPerHour: 1000 } })
  assert.equal((await here.run(['set', 'anna@example.org', '--enable', '--alias', 'a@example.org'])).code, 0)
  assert.deepEqual(await here.account('anna@example.org'), { ...changed, aliases: ['a@example.org'], disabled: false })

  assert.equal((await here.run(['passwd', 'anna@example.org', '--password-stdin'], 'eraser')).code, 0)
  const renewed = (await here.account('anna@example.org')) ?? assert.fail('not there')
  assert.equal(verifyPassword(renewed.argon2id, 'eraser'), true)
  assert.notDeepEqual(renewed.scram.sha256.storedKey, added.scram.sha256.storedKey)
  assert.equal(renewed.createdAt, added.createdAt)

  assert.deepEqual(await here.run(['remove', 'ANNA@example.org']), { code: 0, out: 'anna@example.org removed\n', err: '' })
  assert.equal(await here.account('anna@example.org'), undefined)
})

test('neither the list nor the files hold a password', async () => {
  using here = new Installation({ accounts: [{ name: 'zoe@example.org', password: 'geheim' }] })
  await here.run(['add', 'anna@example.org', '--password-stdin'], 'bleistift\n')
  for (const words of [['list'], ['list', '--json']]) {
    const { code, out, err } = await here.run(words)
    assert.equal(code, 0)
    assert.match(out, /anna@example\.org/)
    assert.match(out, /zoe@example\.org.*configuration/)
    assert.doesNotMatch(out + err, /geheim|bleistift|argon2|salt/i)
  }
  const folder = accountsPath(here.dataDir)
  for (const name of readdirSync(folder)) assert.equal(readFileSync(join(folder, name)).includes('bleistift'), false, name)
})

test('the list makes nothing', async () => {
  using here = new Installation()
  assert.deepEqual(await here.run(['list']), { code: 0, out: '', err: '' })
  assert.throws(() => readdirSync(here.dataDir), { code: 'ENOENT' })
})

const MISTAKES: readonly (readonly [readonly string[], string, number, RegExp])[] = [
  [['add'], '', 2, /name of the account is missing/],
  [['add', 'anna', '--password-stdin'], 'x', 2, /not an address: anna/],
  [['add', '*@example.org', '--password-stdin'], 'x', 2, /not an address/],
  [['add', 'a..b@example.org', '--password-stdin'], 'x', 2, /not an address: a\.\.b@example\.org: the local part has an empty word/],
  [['add', 'a,b@example.org', '--password-stdin'], 'x', 2, /not an address: a,b@example\.org: /],
  [['add', 'a@example.org', 'b@example.org'], 'x', 2, /unexpected argument: b@example\.org/],
  [['add', 'a@example.org'], 'x', 2, /--password-stdin/],
  [['add', 'a@example.org', '--password-stdin'], '', 2, /empty/],
  [['add', 'a@example.org', '--password-stdin'], '\n', 2, /empty/],
  [['add', 'a@example.org', '--password-stdin'], 'a\u0007b\n', 2, /SASLprep/],
  [['add', 'a@example.org', '--password-stdin'], 'x'.repeat(1025), 2, /longer than 1024/],
  [['add', 'a@example.org', '--password-stdin', '--alias', '*'], 'x', 2, /--alias takes/],
  [['add', 'a@example.org', '--password-stdin', '--quota-messages', '-1'], 'x', 2, /quota-messages/],
  [['add', 'a@example.org', '--password-stdin', '--quota-recipients', '1e9'], 'x', 2, /takes a number up to/],
  [['set', 'a@example.org'], '', 2, /something to change/],
  [['set', 'a@example.org', '--disable', '--enable'], '', 2, /contradict/],
  [['set', 'a@example.org', '--alias', 'b@example.org', '--no-aliases'], '', 2, /contradict/],
  [['set', 'a@example.org', '--disable'], '', 1, /no account a@example\.org/],
  [['passwd', 'a@example.org', '--password-stdin'], 'x', 1, /no account/],
  [['remove', 'a@example.org'], '', 1, /no account/],
  [['list', 'a@example.org'], '', 2, /unexpected argument/],
]
for (const [words, stdin, code, text] of MISTAKES) {
  test(`account ${words.join(' ')} ${JSON.stringify(stdin.slice(0, 9))}: ends with ${code} and one line`, async () => {
    using here = new Installation()
    const outcome = await here.run(words, stdin)
    assert.equal(outcome.code, code, outcome.err)
    assert.match(outcome.err, text)
    assert.equal(outcome.err.trimEnd().split('\n').length, 1)
    assert.equal(outcome.out, '')
  })
}

test('an account of the configuration is changed there', async () => {
  using here = new Installation({ accounts: [{ name: 'zoe@example.org', password: 'geheim' }] })
  const { code, err } = await here.run(['remove', 'zoe@example.org'])
  const said = 'rohrpost: there is no account zoe@example.org in the directory; it stands in the configuration: change it there\n'
  assert.deepEqual([code, err], [1, said])
})

test('a damaged directory is told; LMDB would take the process along', async () => {
  using here = new Installation()
  const folder = accountsPath(here.dataDir)
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'data.mdb'), Buffer.alloc(20_000, 'x'))
  for (const words of [['list'], ['remove', 'a@example.org'], ['add', 'a@example.org', '--password-stdin']]) {
    const said = `rohrpost: ${folder}/data.mdb is damaged: it does not begin like an index\n`
    assert.deepEqual(await here.run(words, 'x'), { code: 78, out: '', err: said })
  }
})

test('a directory of another version of LMDB is told; lmdb-js would take the process along', async () => {
  using here = new Installation()
  await here.run(['add', 'a@example.org', '--password-stdin'], 'x')
  const file = join(accountsPath(here.dataDir), 'data.mdb')
  const bytes = readFileSync(file)
  for (const page of [0, 4096]) bytes.writeUInt32LE(1, page + 28)
  writeFileSync(file, bytes)
  for (const words of [['list'], ['remove', 'a@example.org']]) {
    const said = `rohrpost: ${file} has version 1 of LMDB's format; 2 is known\n`
    assert.deepEqual(await here.run(words), { code: 78, out: '', err: said })
  }
})

test('an account is not added twice', async () => {
  using here = new Installation()
  await here.run(['add', 'anna@example.org', '--password-stdin'], 'pencil')
  const before = await here.account('anna@example.org')
  const { code, err } = await here.run(['add', 'anna@example.org', '--password-stdin'], 'eraser')
  assert.equal(code, 1)
  assert.match(err, /already/)
  assert.deepEqual(await here.account('anna@example.org'), before)
})

/** A terminal that records whether it shows what is typed. */
class Terminal extends PassThrough {
  readonly isTTY = true
  readonly raw: boolean[] = []
  setRawMode(raw: boolean): void {
    this.raw.push(raw)
  }
}

function ask(...typed: readonly string[]): { terminal: Terminal; shown: () => Promise<string>; password: Promise<string> } {
  const terminal = new Terminal()
  const stream = new PassThrough()
  const err = new Output(stream)
  const shown = async (): Promise<string> => {
    await err.end()
    stream.end()
    return (await stream.toArray()).join('')
  }
  const context: Partial<CommandContext> = { stdin: terminal, err, flag: () => false, clock: systemClock }
  const password = readPassword(context as CommandContext)
  for (const keys of typed) terminal.write(keys)
  return { terminal, shown, password }
}

test('a terminal is asked twice, shows nothing, and is left as it was', async () => {
  const { terminal, shown, password } = ask('pen', 'cX\x7fil\r', 'pencil\n')
  assert.equal(await password, 'pencil')
  assert.deepEqual(terminal.raw, [true, false])
  assert.equal(await shown(), 'Password: \nOnce more: \n')
})

test('both lines may arrive in one piece, and characters in two', async () => {
  assert.equal(await ask('pencil\rpencil\r').password, 'pencil')
  const umlaut = Buffer.from('ä')
  const { terminal, password } = ask()
  for (const piece of [umlaut.subarray(0, 1), umlaut.subarray(1), Buffer.from('\rä\r')]) terminal.write(piece)
  assert.equal(await password, 'ä')
})

test('passwords that differ, an interrupt and the end of input end the question', async () => {
  await assert.rejects(ask('pencil\r', 'pencils\r').password, (error) => error instanceof CliError && /differ/.test(error.message))
  const interrupted = ask('pen\x03')
  await assert.rejects(interrupted.password, /interrupted/)
  assert.deepEqual(interrupted.terminal.raw, [true, false])
  const ended = ask()
  ended.terminal.end()
  await assert.rejects(ended.password, /empty/)
})
