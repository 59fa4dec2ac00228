import assert from 'node:assert/strict'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { matchesGolden } from '../support/golden.ts'
import { TempFolder } from '../support/process.ts'
import { peerTls, serverTls } from '../support/tls.ts'
import { run } from './run.ts'

function configFile(folder: TempFolder, config: object): string {
  const file = join(folder.path, 'rohrpost.config.json')
  writeFileSync(file, JSON.stringify(config))
  return file
}

const BASE = { hostname: 'mx.example.org', threads: { net: 1, deliver: 1, inspect: 1 } }

test('a good configuration is summed up, and nothing is written', async () => {
  using folder = new TempFolder('check')
  const file = configFile(folder, {
    ...BASE,
    domains: { 'example.org': { deliverTo: ['lmtp://127.0.0.1:2003', 'discard:'] } },
    routes: [{ domain: '*', to: 'smtp://anna:geheim@smart.example:587' }],
    accounts: [{ name: 'anna@example.org', password: 'geheim' }],
    allowPlaintextAuth: true,
    listeners: [
      { protocol: 'smtp', port: 25, host: '0.0.0.0' },
      { protocol: 'lmtp', port: 24 },
    ],
    mxPort: 2525,
    allowHosts: ['127.0.0.1'],
  })
  const { code, out, err } = await run(['check', 'config', '--config', file])
  assert.equal(code, 0)
  matchesGolden('cli/check-config.out', (out + err).replaceAll(folder.path, 'FOLDER'))
  assert.doesNotMatch(out + err, /geheim/)
  assert.ok(!existsSync(join(folder.path, 'data')))
})

test('--json is the whole configuration without secrets', async () => {
  using folder = new TempFolder('check')
  const file = configFile(folder, {
    ...BASE,
    routes: [{ domain: '*', to: 'smtp://anna:geheim@smart.example:587' }],
    accounts: [{ name: 'anna@example.org', password: 'geheim' }],
    oauth: { introspectionUrl: 'https://a.example/ask', clientSecret: 'geheim' },
  })
  const { code, out } = await run(['check', 'config', '--json', '--config', file])
  assert.equal(code, 0)
  assert.doesNotMatch(out, /geheim/)
  const shown = JSON.parse(out) as Record<string, unknown>
  assert.equal(shown['hostname'], 'mx.example.org')
  assert.deepEqual(shown['routes'], [{ domain: '*', to: 'smtp://anna@smart.example:587' }])
  assert.equal((shown['warnings'] as string[]).length, 1)
})

test('mistakes end with 78, each on a line with its path', async () => {
  using folder = new TempFolder('check')
  const file = configFile(folder, { mxPort: 0, hostnam: 'x' })
  const { code, out, err } = await run(['check', 'config', '--config', file])
  assert.deepEqual([code, out], [78, ''])
  assert.equal(
    err,
    `${file}: mxPort: 0 is not allowed; expected a whole number from 1 to 65535\n${file}: hostnam: unknown key; did you mean hostname?\n`,
  )
  const json = await run(['check', 'config', '--json', '--config', file])
  assert.equal(json.code, 78)
  assert.deepEqual(
    json.out
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { path: string }).path),
    ['mxPort', 'hostnam'],
  )
})

test('a file that is not there ends with 78', async () => {
  assert.deepEqual(await run(['check', 'config', '--config', '/none.json']), {
    code: 78,
    out: '',
    err: '/none.json: there is no such file\n',
  })
})

test('certificates are looked at too', async () => {
  using folder = new TempFolder('check')
  const good = await run([
    'check',
    'config',
    '--config',
    configFile(folder, { ...BASE, tls: { cert: serverTls.cert, key: serverTls.key } }),
  ])
  assert.equal(good.code, 0)
  const file = configFile(folder, { ...BASE, tls: { cert: serverTls.cert, key: peerTls.key } })
  const bad = await run(['check', 'config', '--config', file])
  assert.deepEqual([bad.code, bad.out], [78, ''])
  assert.match(bad.err, /: tls: .*peer\.key\.pem is not the key of .*server\.pem\n$/)
})
