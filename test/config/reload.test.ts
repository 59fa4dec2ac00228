import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseConfig } from '../../src/config/parse.ts'
import { liveChanges, restartReasons } from '../../src/config/reload.ts'
import type { Config, UserConfig } from '../../src/config/schema.ts'

function config(input: UserConfig): Config {
  const parsed = parseConfig(input, { baseDir: '/etc', hostname: 'mx.example.org', cores: 2 })
  assert.ok(parsed.ok)
  return parsed.value
}

const before = config({})

test('the same configuration changes nothing', () => {
  assert.deepEqual(restartReasons(before, config({})), [])
  assert.deepEqual(liveChanges(before, config({})), [])
})

test('what is laid down at the start needs a restart', () => {
  const rows: [UserConfig, string[]][] = [
    [{ dataDir: '/var/mail' }, ['dataDir']],
    [{ threads: { net: 2, deliver: 3 } }, ['threads.net', 'threads.deliver']],
    [{ listeners: [{ protocol: 'smtp', port: 25 }] }, ['listeners']],
    [{ log: { level: 'debug' } }, ['log.level']],
  ]
  for (const [input, reasons] of rows) {
    assert.deepEqual(restartReasons(before, config(input)), reasons)
    assert.deepEqual(liveChanges(before, config(input)), [])
  }
})

test('everything else takes effect at once', () => {
  const after = config({
    routes: [{ domain: '*', to: 'mx' }],
    relayFrom: ['10.0.0.0/8'],
    tls: { cert: 'a', key: 'b' },
    accounts: [{ name: 'anna@example.org', password: 'x' }],
    retry: { first: '1m' },
    limits: { minFreeBytes: '1 GB' },
  })
  assert.deepEqual(restartReasons(before, after), [])
  assert.deepEqual(
    liveChanges(before, after),
    ['tls', 'relayFrom', 'routes', 'accounts', 'retry', 'limits.minFreeBytes'].toSorted(byOrderOf(after)),
  )
})

test('a changed list of both kinds is told apart', () => {
  const after = config({ dataDir: '/var/mail', mxPort: 26 })
  assert.deepEqual(restartReasons(before, after), ['dataDir'])
  assert.deepEqual(liveChanges(before, after), ['mxPort'])
})

function byOrderOf(after: Config): (a: string, b: string) => number {
  const keys = Object.keys(after)
  const place = (path: string): number => keys.indexOf(path.split('.')[0] as string)
  return (a, b) => place(a) - place(b)
}
