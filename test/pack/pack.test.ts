// What people install: the tarball of `npm pack`, in an empty folder, runs.

import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { Child, execute, TempFolder } from '../support/process.ts'
import { readyPorts, ROOT } from '../support/server.ts'
import { SmtpClient } from '../support/smtp-client.ts'

const PACK_MS = 60_000
const INSTALL_MS = 120_000
const CHECK_MS = 60_000

async function succeed(command: readonly [string, ...string[]], cwd: string, ms: number): Promise<string> {
  const ran = await execute(command, { cwd, ms })
  assert.equal(ran.code, 0, `${command.join(' ')}\n${ran.stdout}${ran.stderr}`)
  return ran.stdout
}

test('the packed tarball installs in an empty folder and runs', async (t) => {
  using folder = new TempFolder('pack')
  const packed = JSON.parse(await succeed(['npm', 'pack', '--json', '--pack-destination', folder.path], ROOT, PACK_MS)) as unknown
  const [description] = (Array.isArray(packed) ? packed : Object.values(packed as object)) as {
    filename: string
    files: { path: string }[]
  }[]
  assert.ok(description)
  t.diagnostic(`${description.filename}, ${description.files.length} files`)
  const strange = description.files.filter(({ path }) => /(?<!\.d)\.ts$|^(test|bench|scripts)\//.test(path))
  assert.deepEqual(strange, [], 'the package holds JavaScript and declarations only: Node strips no types under node_modules')

  writeFileSync(join(folder.path, 'package.json'), '{ "private": true }')
  const tarball = join(folder.path, description.filename.replace(/^@/, '').replaceAll('/', '-'))
  await succeed(['npm', 'install', '--prefer-offline', '--no-audit', '--no-fund', '--omit=dev', tarball], folder.path, INSTALL_MS)
  const program = join(folder.path, 'node_modules/rohrpost/src/rohrpost.js')
  assert.ok(existsSync(join(folder.path, 'node_modules/.bin/rohrpost')))

  assert.match(await succeed([process.execPath, program, '--help'], folder.path, 20_000), /^ *start +Run the server/m)
  await takesTypedConfig(program, folder.path)
  await startsAndStops(program, folder.path)
})

const TYPED_CONFIG = `import { defineConfig } from 'rohrpost'
export default defineConfig({ hostname: 'typed.test', listeners: [{ protocol: 'smtp', port: 0, tls: 'off' }] })
`

async function takesTypedConfig(program: string, cwd: string): Promise<void> {
  const good = join(cwd, 'config.ts')
  const bad = join(cwd, 'bad.ts')
  writeFileSync(good, TYPED_CONFIG)
  writeFileSync(bad, TYPED_CONFIG.replace("protocol: 'smtp'", "protocol: 'smpt'"))
  assert.match(await succeed([process.execPath, program, 'check', 'config', '--config', good], cwd, CHECK_MS), /typed\.test/)

  const options = ['--noEmit', '--strict', '--module', 'nodenext', '--types', '', '--ignoreConfig']
  const tsc = [process.execPath, join(ROOT, 'node_modules/typescript/bin/tsc'), ...options] as const
  await succeed([...tsc, good], cwd, CHECK_MS)
  const refused = await execute([...tsc, bad], { cwd, ms: CHECK_MS })
  assert.notEqual(refused.code, 0, 'the declarations must know what a protocol is')
  assert.match(refused.stdout, /smpt/)
}

test('a checkout offers defineConfig too', async () => {
  // Inside the checkout, where Node finds the package by its own name.
  const folder = mkdtempSync(join(ROOT, 'test/pack/checkout-'))
  try {
    const config = join(folder, 'config.ts')
    writeFileSync(config, TYPED_CONFIG)
    const program = join(ROOT, 'src/rohrpost.js')
    assert.match(await succeed([process.execPath, program, 'check', 'config', '--config', config], ROOT, CHECK_MS), /typed\.test/)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

async function startsAndStops(program: string, cwd: string): Promise<void> {
  const config = { hostname: 'packed.test', dataDir: join(cwd, 'data'), listeners: [{ protocol: 'smtp', port: 0, tls: 'off' }] }
  writeFileSync(join(cwd, 'config.json'), JSON.stringify(config))
  const server = new Child([process.execPath, program, 'start', '--config', join(cwd, 'config.json')], { cwd })
  try {
    const ready = await server.prints(/^rohrpost ready (.*)$/m, 30_000)
    using client = await SmtpClient.connect(readyPorts(ready[1] as string)['smtp'] ?? 0)
    assert.equal((await client.command('EHLO test')).code, 250)
    await client.quit()
    assert.equal(await server.stop(), 0)
    assert.equal(server.stdout.trim().split('\n').length, 1, 'standard output carries the ready line alone')
  } finally {
    server.signal('SIGKILL')
  }
}

test('package.json lists what the package needs and nothing that only tests need', () => {
  const { files, bin } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { files: string[]; bin: Record<string, string> }
  assert.equal(bin['rohrpost'], 'src/rohrpost.js')
  for (const file of files) assert.ok(file === 'dist' || existsSync(join(ROOT, file)), `${file} is listed and does not exist`)
})
