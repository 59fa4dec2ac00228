import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CidrSet } from '../../src/lib/address.ts'
import { RelayPolicy } from '../../src/policy/relay.ts'
import type { RelayDecision } from '../../src/policy/relay.ts'
import { parseForwardPath } from '../../src/wire/smtp/path.ts'

interface Settings {
  readonly hostname?: string
  readonly domains?: Readonly<Record<string, readonly string[]>>
  readonly relayFrom?: readonly string[]
  readonly postmaster?: string
}

function policy(settings: Settings): RelayPolicy {
  const relayFrom = CidrSet.parse(settings.relayFrom ?? [])
  assert.ok(relayFrom.ok)
  return new RelayPolicy({
    hostname: settings.hostname ?? 'mx.ours.test',
    domains: Object.entries(settings.domains ?? {}).map(([name, deliverTo]) => ({ name, deliverTo })),
    relayFrom: relayFrom.value,
    ...(settings.postmaster !== undefined && { postmaster: settings.postmaster }),
  })
}

function decide(relay: RelayPolicy, path: string, mayRelay: boolean, localAddress = '192.0.2.25'): RelayDecision | 'syntax' {
  const buf = Buffer.from(path)
  const parsed = parseForwardPath(buf, 0, buf.length)
  if (!parsed.ok) return 'syntax'
  const { address, local, domain } = parsed.value
  return relay.decide({ recipient: address, local, domain, localAddress, mayRelay })
}

/** `address by routing domain`, or the rule that refused. */
function told(decision: RelayDecision | 'syntax'): string {
  if (decision === 'syntax') return decision
  return decision.kind === 'accept' ? `${decision.address} by ${decision.domain}` : decision.rule
}

const OURS = {
  domains: {
    'ours.test': ['lmtp://127.0.0.1:2003'],
    'two.test': ['smtp://127.0.0.1:25', 'smtp://127.0.0.2:25'],
    '*.sub.test': ['smtp://10.0.0.1'],
    'a.sub.test': ['mx'],
  },
} as const

test('strangers reach our domains only', () => {
  const relay = policy(OURS)
  const rows: readonly (readonly [path: string, want: string])[] = [
    ['<b@ours.test>', 'b@ours.test by ours.test'],
    ['<B@OURS.test>', 'B@ours.test by ours.test'],
    ['<b+c@ours.test>', 'b+c@ours.test by ours.test'],
    ['<b@two.test>', 'b@two.test by two.test'],
    ['<b@x.sub.test>', 'b@x.sub.test by x.sub.test'],
    ['<b@x.y.sub.test>', 'b@x.y.sub.test by x.y.sub.test'],
    ['<b@a.sub.test>', 'b@a.sub.test by a.sub.test'],
    ['<b@sub.test>', 'relay-denied'],
    ['<b@example.net>', 'relay-denied'],
    ['<b@partner.test>', 'relay-denied'],
    ['<b@ours.test.example.net>', 'relay-denied'],
    ['<b@notours.test>', 'relay-denied'],
    ['<b@localhost>', 'relay-denied'],
    ['<b@mx.ours.test>', 'relay-denied'],
  ]
  for (const [path, want] of rows) assert.equal(told(decide(relay, path, false)), want, path)
})

test('no way of writing an address makes a stranger relay', () => {
  const relay = policy(OURS)
  const rows: readonly (readonly [path: string, want: string])[] = [
    ['<b%example.net@ours.test>', 'route-in-local-part'],
    ['<"b%example.net"@ours.test>', 'route-in-local-part'],
    ['<"b@example.net"@ours.test>', 'route-in-local-part'],
    ['<"b\\@example.net"@ours.test>', 'route-in-local-part'],
    ['<example.net!b@ours.test>', 'route-in-local-part'],
    ['<"example.net!b"@ours.test>', 'route-in-local-part'],
    ['<b%example.net@a.sub.test>', 'route-in-local-part'],
    ['<@ours.test:b@example.net>', 'relay-denied'],
    ['<@ours.test,@two.test:b@example.net>', 'relay-denied'],
    ['<@example.net:b@ours.test>', 'b@ours.test by ours.test'],
    ['<b@[192.0.2.25]>', 'relay-denied'],
    ['<b%example.net@[192.0.2.25]>', 'relay-denied'],
    ['<b@[127.0.0.1]>', 'relay-denied'],
    ['<b@[IPv6:::1]>', 'relay-denied'],
    ['<b@[tag:ours.test]>', 'syntax'],
    ['<postmaster@example.net>', 'relay-denied'],
    ['<b@ours.test@example.net>', 'syntax'],
    ['<b@example.net@ours.test>', 'syntax'],
    ['<b@ours.test.>', 'syntax'],
    ['<b>', 'syntax'],
    ['<"b@example.net">', 'syntax'],
    ['<example.net!b>', 'syntax'],
    ['<>', 'syntax'],
  ]
  for (const [path, want] of rows) assert.equal(told(decide(relay, path, false)), want, path)
})

test('who may relay reaches everybody', () => {
  const relay = policy(OURS)
  const rows: readonly (readonly [path: string, want: string])[] = [
    ['<b@example.net>', 'b@example.net by example.net'],
    ['<b@partner.test>', 'b@partner.test by partner.test'],
    ['<b@x.partner.test>', 'b@x.partner.test by x.partner.test'],
    ['<b@gone.test>', 'b@gone.test by gone.test'],
    ['<b@kept.test>', 'b@kept.test by kept.test'],
    ['<b@ours.test>', 'b@ours.test by ours.test'],
    ['<b%example.net@example.org>', 'b%example.net@example.org by example.org'],
    ['<b%example.net@ours.test>', 'b%example.net@ours.test by ours.test'],
    ['<b@[198.51.100.1]>', 'b@[198.51.100.1] by [198.51.100.1]'],
    ['<b@[IPv6:2001:DB8::1]>', 'b@[ipv6:2001:db8::1] by [ipv6:2001:db8::1]'],
  ]
  for (const [path, want] of rows) assert.equal(told(decide(relay, path, true)), want, path)
})

test('postmaster is reached bare, at our name, at our address and at our domains', () => {
  const rows: readonly (readonly [path: string, want: string])[] = [
    ['<postmaster>', 'postmaster@mx.ours.test by mx.ours.test'],
    ['<PostMaster>', 'postmaster@mx.ours.test by mx.ours.test'],
    ['<Postmaster@MX.ours.test>', 'postmaster@mx.ours.test by mx.ours.test'],
    ['<"postmaster"@mx.ours.test>', 'postmaster@mx.ours.test by mx.ours.test'],
    ['<postmaster@[192.0.2.25]>', 'postmaster@mx.ours.test by mx.ours.test'],
    ['<postmaster@ours.test>', 'postmaster@ours.test by ours.test'],
    ['<postmaster@[192.0.2.26]>', 'relay-denied'],
  ]
  for (const [path, want] of rows) assert.equal(told(decide(policy(OURS), path, false)), want, path)
  const named = policy({ ...OURS, postmaster: 'admin@ours.test' })
  assert.equal(told(decide(named, '<postmaster>', false)), 'admin@ours.test by ours.test')
  assert.equal(told(decide(named, '<postmaster@[192.0.2.25]>', false)), 'admin@ours.test by ours.test')
  assert.equal(told(decide(named, '<postmaster@ours.test>', false)), 'postmaster@ours.test by ours.test')
})

test('a literal of our own address stands for our name, and counts as ours only if that is', () => {
  const relay = policy({ hostname: 'ours.test', domains: OURS.domains })
  const want = 'b@ours.test by ours.test'
  assert.equal(told(decide(relay, '<b@[192.0.2.25]>', false)), want)
  assert.equal(told(decide(relay, '<b@[IPv6:::ffff:192.0.2.25]>', false)), want)
  assert.equal(told(decide(relay, '<b@[192.0.2.25]>', false, '::ffff:192.0.2.25')), want)
  assert.equal(told(decide(relay, '<b@[IPv6:2001:DB8:0::1]>', false, '2001:db8::1')), want)
  assert.equal(told(decide(relay, '<"a b"@[192.0.2.25]>', false)), '"a b"@ours.test by ours.test')
  assert.equal(told(decide(relay, '<b%example.net@[192.0.2.25]>', false)), 'route-in-local-part')
  assert.equal(told(decide(relay, '<b@[192.0.2.26]>', false)), 'relay-denied')
  assert.equal(told(decide(relay, '<b@[192.0.2.25]>', false, 'not an address')), 'relay-denied')
})

test('addresses relay by their network', () => {
  const relay = policy({ relayFrom: ['127.0.0.0/8', '2001:db8::/32'] })
  assert.equal(relay.mayRelay('127.0.0.9'), true)
  assert.equal(relay.mayRelay('::ffff:127.0.0.9'), true)
  assert.equal(relay.mayRelay('2001:db8::1'), true)
  assert.equal(relay.mayRelay('128.0.0.1'), false)
  assert.equal(relay.mayRelay('::1'), false)
  assert.equal(relay.mayRelay(''), false)
})

test('names that are properties of objects are nobody’s domain', () => {
  const relay = policy(OURS)
  for (const name of ['constructor', '__proto__', 'tostring']) {
    assert.equal(relay.isOurs(name), false)
  }
})

test('a refusal carries 550 5.7.1 and its rule', () => {
  const decision = decide(policy(OURS), '<b@example.net>', false)
  assert.deepEqual(decision, { kind: 'refuse', rule: 'relay-denied', reply: { code: 550, enhanced: '5.7.1', text: 'Relaying denied' } })
})
