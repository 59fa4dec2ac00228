import assert from 'node:assert/strict'
import { mkdirSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { loadConfig, validHostname } from '../../src/config/load.ts'
import { ConfigError } from '../../src/config/problems.ts'
import { TempFolder } from '../support/process.ts'

function write(folder: TempFolder, name: string, text: string): string {
  const file = join(folder.path, name)
  writeFileSync(file, text)
  return file
}

test('TypeScript, JavaScript and JSON say the same', async () => {
  using folder = new TempFolder('config')
  const files = [
    write(folder, 'a.config.ts', `type Port = number\nconst port: Port = 2525\nexport default { hostname: 'a.example', mxPort: port }`),
    write(folder, 'a.config.mjs', `export default { hostname: 'a.example', mxPort: 2525 }`),
    write(folder, 'a.config.cjs', `module.exports = { hostname: 'a.example', mxPort: 2525 }`),
    write(folder, 'a.config.json', `{ "hostname": "a.example", "mxPort": 2525 }`),
  ]
  for (const file of files) {
    const config = await loadConfig(file)
    assert.equal(config.hostname, 'a.example', file)
    assert.equal(config.mxPort, 2525, file)
    assert.equal(config.dataDir, join(folder.path, 'data'), file)
  }
})

test('without a file the embedded default is used, with paths from where it is started', async () => {
  const config = await loadConfig(undefined)
  assert.equal(config.dataDir, join(process.cwd(), 'data'))
  assert.equal(config.hostname, validHostname(config.hostname))
})

test('a module that changed is read again', async () => {
  using folder = new TempFolder('config')
  const file = write(folder, 'a.config.ts', `export default { mxPort: 1 }`)
  assert.equal((await loadConfig(file)).mxPort, 1)
  writeFileSync(file, `export default { mxPort: 2 }`)
  utimesSync(file, 1_700_000_000, 1_700_000_000)
  assert.equal((await loadConfig(file)).mxPort, 2)
})

test('a file that cannot be used is named, with what is wrong', async () => {
  using folder = new TempFolder('config')
  mkdirSync(join(folder.path, 'folder.json'))
  const rows: [file: string, said: RegExp][] = [
    [join(folder.path, 'absent.json'), /there is no such file/],
    [join(folder.path, 'folder.json'), /is not a file/],
    [write(folder, 'a.yaml', 'hostname: a'), /expected a file that ends in \.json, \.ts/],
    [write(folder, 'half.json', '{"hostname": '), /is not JSON: /],
    [write(folder, 'syntax.ts', 'export default {'), /cannot be loaded: /],
    [write(folder, 'throws.mjs', `throw new Error('no secret found')`), /cannot be loaded: line 1: no secret found/],
    [write(folder, 'empty.ts', ''), /exports nothing; expected `export default/],
    [write(folder, 'forgotten.ts', "const config = { hostname: 'mx.example.org' }"), /exports nothing/],
    [write(folder, 'nothing.mjs', 'export const hostname = 1'), /has no default export/],
    [write(folder, 'wrong.json', '{"mxPort": -1}'), /mxPort: -1 is not allowed/],
  ]
  for (const [file, said] of rows) {
    await assert.rejects(loadConfig(file), (error) => {
      assert.ok(error instanceof ConfigError)
      assert.equal(error.code, 78)
      assert.ok(error.message.startsWith(`${file}: `), error.message)
      assert.match(error.message, said)
      return true
    })
  }
})

test('the name of any machine becomes one that EHLO may carry', () => {
  const names: [string, string][] = [
    ['mx.example.org', 'mx.example.org'],
    ['MX', 'mx'],
    ['my_host', 'my-host'],
    ['-host-.lan', 'host.lan'],
    ['Anna’s Mac', 'anna-s-mac'],
    ['7d3f2a91c0de', '7d3f2a91c0de'],
    ['1234', 'localhost'],
    ['', 'localhost'],
    ['...', 'localhost'],
    [`${'a'.repeat(70)}.example`, `${'a'.repeat(63)}.example`],
  ]
  for (const [name, valid] of names) assert.equal(validHostname(name), valid)
})
