// Data directories that cannot be used: the start ends at once with one line that says why and exit code 78, which tells a
// service manager that another try does not help, and nothing in the directory is changed.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { execute, TempFolder, type Finished } from '../../support/process.ts'
import { rohrpost, ROOT, startServer } from '../../support/server.ts'
import { NO_MOUNT, SmallDisk } from '../support/small-disk.ts'

const EX_CONFIG = 78

function configFor(folder: TempFolder, dataDir: string): string {
  const path = join(folder.path, 'rohrpost.config.json')
  writeFileSync(
    path,
    JSON.stringify({
      hostname: 'mx.rohrpost.test',
      dataDir,
      listeners: [{ protocol: 'smtp', port: 0, tls: 'off' }],
      routes: [{ domain: '*', to: 'discard:' }],
    }),
  )
  return path
}

function assertRefused({ code, stdout, stderr }: Finished, text: RegExp): void {
  assert.equal(code, EX_CONFIG, stderr)
  assert.equal(stdout, '', 'it was never ready')
  const lines = stderr
    .trimEnd()
    .split('\n')
    .filter((line) => !line.startsWith('{'))
  assert.equal(lines.length, 1, stderr)
  assert.match(lines[0] ?? '', /^rohrpost: the data directory \S+ cannot be used: /)
  assert.match(lines[0] ?? '', text)
}

test('a data directory that is a file, or below one', async () => {
  using folder = new TempFolder('unusable')
  const file = join(folder.path, 'file')
  writeFileSync(file, 'not a directory')
  assertRefused(await rohrpost(['start', '--config', configFor(folder, file)]), /EEXIST|ENOTDIR/)
  assertRefused(await rohrpost(['start', '--config', configFor(folder, join(file, 'data'))]), /ENOTDIR/)
  assert.equal(readFileSync(file, 'utf8'), 'not a directory')
})

test('a data directory that may only be read', async (t) => {
  using disk = SmallDisk.mount(1024 * 1024)
  if (!disk) return t.skip(NO_MOUNT)
  using folder = new TempFolder('unusable')
  mkdirSync(join(disk.path, 'data'))
  execFileSync('mount', ['-o', 'remount,ro', disk.path])
  assertRefused(await rohrpost(['start', '--config', configFor(folder, join(disk.path, 'data'))]), /read-only|unable to open|EROFS/i)
  assertRefused(await rohrpost(['start', '--config', configFor(folder, join(disk.path, 'new'))]), /EROFS|ENOENT/)
})

test('accounts that may only be read are listed, and a change is refused in one line', async (t) => {
  using disk = SmallDisk.mount(16 * 1024 * 1024)
  if (!disk) return t.skip(NO_MOUNT)
  using folder = new TempFolder('unusable')
  const config = ['--config', configFor(folder, join(disk.path, 'data'))]
  assert.equal((await rohrpost(['account', 'add', 'a@example.org', '--password-stdin', ...config], 'pencil\n')).code, 0)
  execFileSync('mount', ['-o', 'remount,ro', disk.path])
  assert.match((await rohrpost(['account', 'list', ...config])).stdout, /^a@example\.org /m)
  const { code, stdout, stderr } = await rohrpost(['account', 'remove', 'a@example.org', ...config])
  assert.deepEqual([code, stdout], [EX_CONFIG, ''])
  assert.match(stderr, /^rohrpost: \S+\/data\/directory cannot be opened: Read-only file system[^\n]*\n$/)
})

test('a disk that has no room for a spool', async (t) => {
  using disk = SmallDisk.mount(64 * 1024)
  if (!disk) return t.skip(NO_MOUNT)
  using folder = new TempFolder('unusable')
  assertRefused(await rohrpost(['start', '--config', configFor(folder, join(disk.path, 'data'))]), /ENOSPC|no space left/i)
})

const META: readonly (readonly [text: string, why: RegExp])[] = [
  ['', /spool\/meta\.json is damaged/],
  ['not json\n', /spool\/meta\.json is damaged/],
  ['{"format":2', /spool\/meta\.json is damaged/],
  ['null', /has format undefined/],
  ['[]', /has format undefined/],
  ['{"format":99,"shards":4}', /has format 99, this program knows 2/],
  ['{"format":2,"shards":0}', /has 0 shards/],
  ['{"format":2,"shards":4000}', /has 4000 shards/],
  ['{"format":2,"shards":"4"}', /has 4 shards/],
]

test('a spool/meta.json that is damaged or of another program', async () => {
  using folder = new TempFolder('unusable')
  const dataDir = join(folder.path, 'data')
  const meta = join(dataDir, 'spool/meta.json')
  mkdirSync(join(dataDir, 'spool'), { recursive: true })
  const config = configFor(folder, dataDir)
  for (const [text, why] of META) {
    writeFileSync(meta, text)
    assertRefused(await rohrpost(['start', '--config', config]), why)
    assert.equal(readFileSync(meta, 'utf8'), text, 'it is left as it was')
    const check = await rohrpost(['check', 'spool', '--config', config])
    assert.equal(check.code, 1)
    assert.match(check.stderr, why)
  }
})

test('an index that is damaged where it begins', async () => {
  using folder = new TempFolder('unusable')
  await using server = await startServer({}, folder.path)
  assert.equal(await server.stop(), 0)
  const index = join(server.dataDir, 'spool/00/data.mdb')
  const before = readFileSync(index)
  const damages: readonly (() => void)[] = [
    () => writeFileSync(index, Buffer.alloc(100_000, 'damaged')),
    () => truncateSync(index, 5000),
    () => writeFileSync(index, Buffer.concat([Buffer.alloc(4096), before.subarray(4096)])),
  ]
  for (const damage of damages) {
    writeFileSync(index, before)
    damage()
    assertRefused(await rohrpost(['start', '--config', server.configPath]), /spool\/00\/data\.mdb is damaged/)
    const check = await rohrpost(['check', 'spool', '--config', server.configPath])
    assert.equal(check.code, 1)
    assert.match(check.stderr, /data\.mdb is damaged/)
  }
  writeFileSync(index, before)
  await using again = await startServer({}, folder.path)
  assert.equal(await again.stop(), 0)
})

test('a user who may not write there', async (t) => {
  if (process.getuid?.() !== 0) return t.skip('only root can become somebody else')
  const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'] as const
  const readable = await execute([...nobody, 'test', '-r', join(ROOT, 'src/rohrpost.js')])
  if (readable.code !== 0) return t.skip('the checkout lies where nobody else may read, such as in /root')
  using folder = new TempFolder('unusable')
  execFileSync('chmod', ['755', folder.path])
  mkdirSync(join(folder.path, 'data'), { mode: 0o755 })
  const config = configFor(folder, join(folder.path, 'data'))
  const program = [process.execPath, join(ROOT, 'src/rohrpost.js'), 'start', '--config', config]
  const finished = await execute([...nobody, ...program], { env: { HOME: '/nonexistent' } })
  assertRefused(finished, /EACCES|unable to open/)
})
