import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseDnsServer, parseResolvConf, resolverSettings, systemResolverSettings } from '../../src/net/resolver-config.ts'

test('servers are an address, with a port when it is not 53', () => {
  const table: [string, string | undefined][] = [
    ['127.0.0.1', '127.0.0.1 53 true'],
    ['127.0.0.1:5353', '127.0.0.1 5353 true'],
    ['192.0.2.53:53', '192.0.2.53 53 false'],
    ['::1', '::1 53 true'],
    ['[::1]', '::1 53 true'],
    ['[2001:DB8::53]:5353', '2001:db8::53 5353 false'],
    ['fe80::1%eth0', 'fe80::1%eth0 53 false'],
    ['dns.example', undefined],
    ['127.0.0.1:0', undefined],
    ['127.0.0.1:65536', undefined],
    ['127.0.0.1:', undefined],
    ['[::1', undefined],
    ['', undefined],
  ]
  for (const [text, want] of table) {
    const server = parseDnsServer(text)
    assert.equal(server.ok ? `${server.value.address} ${server.value.port} ${server.value.trusted}` : undefined, want, text)
  }
})

test('resolv.conf gives servers and options', () => {
  const text = [
    '# generated',
    'domain example.org',
    'search example.org example.net',
    'nameserver 192.0.2.53',
    ' nameserver\t2001:db8::53 ',
    'nameserver nonsense',
    'options ndots:2 timeout:7 attempts:4',
    'options rotate use-vc timeout:2',
    '; end',
  ].join('\n')
  assert.deepEqual(parseResolvConf(text), {
    servers: [
      { address: '192.0.2.53', port: 53, trusted: false },
      { address: '2001:db8::53', port: 53, trusted: false },
    ],
    timeoutMs: 2000,
    attempts: 4,
    rotate: true,
    tcpOnly: true,
  })
})

test('options out of reason are capped or ignored, trust-ad counts for all servers', () => {
  const settings = parseResolvConf('nameserver 192.0.2.53\noptions timeout:600 attempts:0 attempts:x trust-ad')
  assert.deepEqual(settings, { servers: [{ address: '192.0.2.53', port: 53, trusted: true }], timeoutMs: 30_000 })
})

test('a machine without resolv.conf asks its own loopback', () => {
  const settings = systemResolverSettings({ servers: [] }, '/nonexistent/resolv.conf')
  assert.deepEqual(settings.ok && settings.value.servers, [{ address: '127.0.0.1', port: 53, trusted: true }])
})

test('configured servers replace the system, settings given hold', () => {
  const settings = resolverSettings({ servers: ['192.0.2.1'], timeoutMs: 700 }, 'nameserver 192.0.2.53\noptions timeout:9')
  assert(settings.ok)
  assert.deepEqual(settings.value.servers, [{ address: '192.0.2.1', port: 53, trusted: false }])
  assert.equal(settings.value.timeoutMs, 700)
  assert.equal(settings.value.attempts, 3)
})

test('a server that is none is an error that names it', () => {
  const settings = resolverSettings({ servers: ['one'] }, '')
  assert.match(settings.ok ? '' : settings.error, /not a DNS server: one/)
  assert.equal(resolverSettings({ servers: Array.from({ length: 9 }, () => '::1') }, '').ok, false)
})
