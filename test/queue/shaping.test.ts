import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PROVIDERS } from '../../src/queue/providers.ts'
import { limitsFor, providerOf } from '../../src/queue/shaping.ts'

const HOSTS: readonly (readonly [readonly string[], string])[] = [
  [['aspmx.l.google.com', 'alt1.aspmx.l.google.com'], 'google'],
  [['gmail-smtp-in.l.google.com.'], 'google'],
  [['aspmx2.GoogleMail.com'], 'google'],
  [['mta5.am0.yahoodns.net'], 'yahoo'],
  [['outlook-com.olc.protection.outlook.com'], 'outlook'],
  [['contoso-com.mail.protection.outlook.com'], 'microsoft365'],
  [['contoso-com.x-v1.mx.microsoft'], 'microsoft365'],
  [['mx01.mail.icloud.com'], 'apple'],
  [['mx1.mxge.comcast.net'], 'comcast'],
  [['eu-smtp-inbound-1.mimecast.com'], 'mimecast'],
  [['smtp-in.orange.fr'], 'orange'],
  [['mx.example.org'], ''],
  [['evilgoogle.com'], ''],
  [['google.com.example.org'], ''],
  [['aspmx.l.google.com', 'backup.example.org'], ''],
  [[], ''],
]

for (const [hosts, provider] of HOSTS) {
  test(`hosts ${hosts.join(', ') || '(none)'} belong to ${provider || 'nobody'}`, () => {
    assert.equal(providerOf(hosts), provider)
  })
}

test('a provider has its own limits, and says so', () => {
  const limits = limitsFor('aspmx.l.google.com', 'google')
  assert.equal(limits.connections, 5)
  assert.equal(limits.messagesPerConnection, 50)
  assert.equal(limits.tlsRequired, true)
  assert.equal(limits.origins['connections'], 'provider google')
  assert.equal(limits.origins['idleReuseMs'], undefined)
})

test('what users set overrides provider and defaults, limit by limit', () => {
  const layers = [
    { origin: 'limits', limits: { recipientsPerTransaction: 500, connections: 7 } },
    { origin: 'shaping.google', limits: { connections: 3, messageRate: { count: 100, periodMs: 60_000 } } },
  ]
  const limits = limitsFor('aspmx.l.google.com', 'google', layers)
  assert.equal(limits.connections, 3)
  assert.equal(limits.messagesPerConnection, 50)
  assert.equal(limits.recipientsPerTransaction, 500)
  assert.deepEqual(limits.messageRate, { count: 100, periodMs: 60_000 })
  assert.deepEqual(
    { ...limits.origins },
    {
      connections: 'shaping.google',
      messagesPerConnection: 'provider google',
      tlsRequired: 'provider google',
      recipientsPerTransaction: 'limits',
      messageRate: 'shaping.google',
    },
  )
})

test('static routes get more than strangers', () => {
  const foreign = limitsFor('mx.example.org', '').messagesPerConnection
  for (const key of ['smtp://192.0.2.1:25', 'lmtp:/run/dovecot/lmtp']) assert.ok(limitsFor(key, '').messagesPerConnection > foreign, key)
})

test('every provider is found by the hosts it names, and by no other provider', () => {
  for (const provider of PROVIDERS) {
    for (const domain of provider.hostsIn) assert.equal(providerOf([`mx.${domain}`]), provider.name)
  }
})
