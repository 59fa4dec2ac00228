import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseConfig } from '../../src/config/parse.ts'
import type { Surroundings } from '../../src/config/shape.ts'
import { defaultLimits } from '../../src/config/limits.ts'
import type { Config, UserConfig } from '../../src/config/schema.ts'
import { matchesGolden } from '../support/golden.ts'

const AROUND: Surroundings = { baseDir: '/etc/rohrpost', hostname: 'mx.example.org', cores: 2 }

function good(input: unknown, around: Partial<Surroundings> = {}): Config {
  const parsed = parseConfig(input, { ...AROUND, ...around })
  assert.ok(parsed.ok, parsed.ok ? '' : JSON.stringify(parsed.error, null, 1))
  return parsed.value
}

function mistakes(input: unknown): string[] {
  const parsed = parseConfig(input, AROUND)
  assert.ok(!parsed.ok, `accepted: ${JSON.stringify(input)}`)
  return parsed.error.map(({ path, text }) => `${path}: ${text}`)
}

test('an empty object is the embedded default', () => {
  const { limits, ...config } = good({})
  assert.deepEqual(limits, defaultLimits)
  matchesGolden('config/default.json', `${JSON.stringify(config, (_, value: unknown) => value ?? null, 2)}\n`)
})

test('the default keeps everything on loopback', () => {
  const config = good({})
  assert.ok(config.listeners.every(({ host }) => host === '127.0.0.1'))
  assert.deepEqual(config.routes, [{ domain: '*', to: 'smtp://127.0.0.1:2526' }])
  assert.deepEqual(config.relayFrom, ['127.0.0.0/8', '::1/128'])
})

// Mistakes and what is said of them: test/golden/config/mistakes.txt. The rows are JSON with comments above them.
test('every mistake is told with its path, its value and what is allowed', () => {
  const rows = readFileSync(join(import.meta.dirname, 'mistakes.jsonl'), 'utf8')
    .split('\n')
    .filter((row) => row !== '')
  const told = rows.map(
    (row) =>
      `${row}\n${mistakes(JSON.parse(row))
        .map((line) => `    ${line}\n`)
        .join('')}`,
  )
  matchesGolden('config/mistakes.txt', told.join(''))
})

test('the configuration of the manual is taken as a whole', () => {
  const config = good({
    hostname: 'MX.Example.org',
    dataDir: './data',
    threads: { net: 2, deliver: 1, inspect: 1 },
    tls: { cert: './cert.pem', key: './key.pem' },
    listeners: [
      { protocol: 'smtp', port: 25, tls: 'starttls' },
      { protocol: 'submission', port: 587, tls: 'starttls' },
      { protocol: 'submission', port: 465, tls: 'implicit' },
      { protocol: 'lmtp', port: 24 },
    ],
    relayFrom: ['127.0.0.0/8', '::1'],
    proxyFrom: [],
    xclientFrom: [],
    domains: { 'Example.NET': { deliverTo: ['lmtp://127.0.0.1:2003'] }, 'bücher.example': { deliverTo: 'capture:./mail' } },
    routes: [{ domain: '*', to: 'mx' }],
    mxPort: 25,
    allowHosts: [],
    accounts: [{ name: 'Anna@Example.org', password: 'secret' }],
    allowPlaintextAuth: false,
    tenantFrom: 'account',
    retry: { first: '5m', max: '4h', expire: '5d' },
    limits: { minFreeBytes: '512 MB' },
    dns: { servers: ['127.0.0.1:53'] },
    hooks: {},
  } satisfies UserConfig)
  assert.equal(config.hostname, 'mx.example.org')
  assert.equal(config.dataDir, '/etc/rohrpost/data')
  assert.deepEqual(config.tls.files, { cert: '/etc/rohrpost/cert.pem', key: '/etc/rohrpost/key.pem' })
  assert.deepEqual(
    config.listeners.map(({ name, tls }) => [name, tls]),
    [
      ['smtp', 'starttls'],
      ['submission', 'starttls'],
      ['submission-465', 'implicit'],
      ['lmtp', 'off'],
    ],
  )
  assert.deepEqual(config.domains, [
    { name: 'example.net', deliverTo: ['lmtp://127.0.0.1:2003'] },
    { name: 'xn--bcher-kva.example', deliverTo: ['capture:/etc/rohrpost/mail'] },
  ])
  assert.equal(config.accounts[0]?.name, 'anna@example.org')
  assert.equal(config.limits.minFreeBytes, 512_000_000)
  assert.deepEqual(config.retry, { firstMs: 300_000, maxMs: 14_400_000, expireMs: 432_000_000, warnAfterMs: 14_400_000 })
})

test('a result is frozen through and through, and survives a structured clone', () => {
  const config = good({ accounts: [{ name: 'a@example.org', password: 'x' }], dns: { servers: ['::1'] } })
  const walk = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return
    assert.ok(Object.isFrozen(value))
    Object.values(value).forEach(walk)
  }
  walk(config)
  assert.deepEqual(structuredClone(config), config)
})

test('auto divides the cores, and a number wins over it', () => {
  const threads = (cores: number, given?: UserConfig['threads']): unknown => good(given ? { threads: given } : {}, { cores }).threads
  assert.deepEqual(threads(1), { net: 1, deliver: 1, inspect: 1 })
  assert.deepEqual(threads(2, 'auto'), { net: 1, deliver: 1, inspect: 1 })
  assert.deepEqual(threads(8), { net: 4, deliver: 2, inspect: 2 })
  assert.deepEqual(threads(128), { net: 16, deliver: 8, inspect: 4 })
  assert.deepEqual(threads(8, { net: 1 }), { net: 1, deliver: 2, inspect: 2 })
})

test('networks, hosts, DNS servers and names come out in one form', () => {
  const config = good({
    proxyFrom: ['10.0.0.0/8', '2001:DB8::/32', '::ffff:192.0.2.1'],
    allowHosts: ['Lab.example', '127.0.0.2', '10.1.0.0/16'],
    dns: { servers: ['127.0.0.1', '127.0.0.1:5353', '::1', '[::1]:5353'] },
    tls: {
      names: [
        { name: '*.Example.org', cert: '/c', key: 'k' },
        { name: ['a.example', 'b.example'], cert: 'c', key: 'k' },
      ],
    },
  })
  assert.deepEqual(config.proxyFrom, ['10.0.0.0/8', '2001:db8::/32', '192.0.2.1/32'])
  assert.deepEqual(config.allowHosts, ['lab.example', '127.0.0.2/32', '10.1.0.0/16'])
  assert.deepEqual(config.dns.servers, ['127.0.0.1:53', '127.0.0.1:5353', '[::1]:53', '[::1]:5353'])
  assert.deepEqual(config.tls.names, [
    { names: ['*.example.org'], cert: '/c', key: '/etc/rohrpost/k' },
    { names: ['a.example', 'b.example'], cert: '/etc/rohrpost/c', key: '/etc/rohrpost/k' },
  ])
})

test('limits of messages are set under smtp and read among the limits', () => {
  const { limits, smtp } = good({ smtp: { maxMessageBytes: '10 MiB', recipientsMax: 10_000, bareLf: 'refuse' } })
  assert.equal(limits.messageBytesMax, 10 * 2 ** 20)
  assert.equal(limits.recipientsMax, 10_000)
  assert.deepEqual(smtp, { bareLf: 'refuse', banner: 'Rohrpost' })
})

test('a delay warning can be switched off', () => {
  assert.equal(good({ retry: { warnAfter: false } }).retry.warnAfterMs, 0)
})

test('a data directory whose control socket could not be bound is a mistake', () => {
  const parsed = (dataDir: string): unknown => {
    const result = parseConfig({ dataDir }, { baseDir: '/base', hostname: 'mx.example.org', cores: 2 })
    return result.ok ? result.value.dataDir : result.error
  }
  const longest = `/${'x'.repeat(89)}`
  assert.equal(parsed(longest), longest)
  assert.deepEqual(parsed(`${longest}y`), [{ path: 'dataDir', text: `${longest}y is 1 bytes too long for the control socket in it` }])
  assert.equal(Array.isArray(parsed('a\n')), true)
})

test('a password is never repeated in an error', () => {
  const told = mistakes({
    accounts: [{ name: 'a@example.org', password: 'gehe\nim' }],
    routes: [{ domain: '*', to: 'smtp://anna:geheim@' }],
    oauth: { clientSecret: 'gehe\nim' },
  }).join('\n')
  assert.doesNotMatch(told, /gehe/)
})

test('a key of a prototype is no domain that is found', () => {
  const input: unknown = JSON.parse('{"domains": {"constructor": {"deliverTo": "discard:"}, "__proto__": {"deliverTo": "discard:"}}}')
  assert.deepEqual(good(input).domains, [{ name: 'constructor', deliverTo: ['discard:'] }])
})

test('functions are no data', () => {
  assert.deepEqual(mistakes({ hostname: () => 'x' }), ["hostname: a function is not allowed; expected a name such as 'mx.example.org'"])
  assert.deepEqual(mistakes({ hooks: { mail: () => undefined } }), ['hooks.mail: hooks are not supported in this version; remove it'])
})

test('whatever is given, there is a configuration or a list of problems', () => {
  const keys = [
    'hostname',
    'threads',
    'tls',
    'listeners',
    'relayFrom',
    'domains',
    'routes',
    'accounts',
    'retry',
    'smtp',
    'limits',
    'oauth',
    'hooks',
  ]
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...keys), fc.anything({ maxDepth: 3 })), (input) => {
      const parsed = parseConfig(input, AROUND)
      assert.ok(parsed.ok || (parsed.error.length > 0 && parsed.error.every(({ text }) => text.length > 0 && !text.includes('\n'))))
    }),
    { numRuns: 300 },
  )
})
