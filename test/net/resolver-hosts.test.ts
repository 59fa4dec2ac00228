import assert from 'node:assert/strict'
import { test } from 'node:test'
import { localAddresses, parseHosts, systemHosts } from '../../src/net/resolver-hosts.ts'

const TEXT = `
127.0.0.1   localhost
192.0.2.1   mail.example.org mail   # the relay
2001:DB8::1 mail.example.org
bad         nothing.example
192.0.2.9
192.0.2.2   under_score BAD..name
`

test('a hosts file gives the addresses of each name, in its order', () => {
  const hosts = parseHosts(TEXT)
  assert.deepEqual(
    [...hosts],
    [
      ['localhost', ['127.0.0.1']],
      ['mail.example.org', ['192.0.2.1', '2001:db8::1']],
      ['mail', ['192.0.2.1']],
      ['under_score', ['192.0.2.2']],
    ],
  )
})

test('localhost is loopback without a hosts file, other names are for DNS', () => {
  const none = systemHosts('/nonexistent/hosts')
  assert.deepEqual(localAddresses(none, 'localhost'), ['127.0.0.1', '::1'])
  assert.deepEqual(localAddresses(none, 'sink.localhost'), ['127.0.0.1', '::1'])
  assert.equal(localAddresses(none, 'mail.example.org'), undefined)
  assert.deepEqual(localAddresses(parseHosts(TEXT), 'localhost'), ['127.0.0.1'])
})
