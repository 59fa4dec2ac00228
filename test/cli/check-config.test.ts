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
    domains: { 'example.org': { deliverTo: ['lmtp://127.0.0.1:2003', 'lmtp:/run/dovecot/lmtp'] } },
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

const BROKEN: readonly (readonly [name: string, text: string, said: string])[] = [
  ['syntax.ts', 'export default {\n  mxPort: = 1,\n}\n', 'line 2: Expression expected'],
  ['enum.ts', '\nenum A { B }\nexport default {}\n', 'line 2: TypeScript enum is not supported in strip-only mode'],
  ['throws.mjs', 'const a = {}\n\na.b.c()\nexport default a\n', "line 3: Cannot read properties of undefined (reading 'c')"],
  [
    'reads.mjs',
    "import { readFileSync } from 'node:fs'\nexport default readFileSync('/none')\n",
    "line 2: ENOENT: no such file or directory, open '/none'",
  ],
  [
    'imports.mjs',
    "import './throws.mjs'\nexport default {}\n",
    "FOLDER/throws.mjs, line 3: Cannot read properties of undefined (reading 'c')",
  ],
  ['missing.mjs', "import './none.mjs'\nexport default {}\n", "Cannot find module 'FOLDER/none.mjs' imported from FOLDER/missing.mjs"],
  ['text.mjs', "throw 'so'\n", 'so'],
]

test('a module that cannot be loaded says in which line', async () => {
  using folder = new TempFolder('check')
  for (const [name, text] of BROKEN) writeFileSync(join(folder.path, name), text)
  for (const [name, , said] of BROKEN) {
    const { code, err } = await run(['check', 'config', '--config', join(folder.path, name)])
    assert.deepEqual([code, err.replaceAll(folder.path, 'FOLDER')], [78, `FOLDER/${name}: cannot be loaded: ${said}\n`])
  }
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
