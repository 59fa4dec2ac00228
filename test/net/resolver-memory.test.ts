import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from '../../src/lib/clock.ts'
import { MemoryResolver } from '../../src/net/resolver-memory.ts'

const ZONE = {
  'example.org': { MX: [[10, 'MX.example.org.']], TXT: ['v=spf1 -all'], secure: true, ttlMs: 5000 },
  'mx.example.org': { A: ['192.0.2.1'], AAAA: ['2001:db8::1'] },
  'www.example.org': { CNAME: 'MX.example.org' },
  'loop.example': { CNAME: 'loop.example' },
  'deep.below.example': { A: ['192.0.2.2'] },
  'dead.example': { fails: 'timeout' },
  'half.example': { A: ['192.0.2.3'], failing: { AAAA: 'servfail' } },
} as const

test('the twin answers from zone data as a server would', async () => {
  const dns = new MemoryResolver(ZONE)
  assert.deepEqual(await dns.lookup('EXAMPLE.org.', 'MX'), {
    kind: 'answer',
    records: [{ preference: 10, exchange: 'mx.example.org' }],
    ttlMs: 5000,
    secure: true,
  })
  assert.deepEqual(await dns.lookup('www.example.org', 'A'), { kind: 'answer', records: ['192.0.2.1'], ttlMs: 3_600_000, secure: false })
  assert.equal((await dns.lookup('mx.example.org', 'MX')).kind, 'nodata')
  assert.equal((await dns.lookup('below.example', 'A')).kind, 'nodata', 'an empty name above one that exists')
  assert.equal((await dns.lookup('gone.example', 'A')).kind, 'nxdomain')
  assert.equal((await dns.lookup('loop.example', 'A')).kind, 'failure')
  assert.equal((await dns.lookup('half.example', 'A')).kind, 'answer')
  assert.deepEqual(await dns.lookup('half.example', 'AAAA'), { kind: 'failure', reason: 'servfail', text: 'memory: servfail' })
  assert.deepEqual(await dns.lookup('a b', 'A'), { kind: 'failure', reason: 'name', text: 'not a domain name' })
  assert.equal(dns.asked[0], 'MX example.org')
})

test('a timeout takes its time', async () => {
  const clock = new ManualClock()
  const dns = new MemoryResolver(ZONE, { clock, timeoutMs: 5000 })
  const lookup = dns.lookup('dead.example', 'MX')
  assert.equal(clock.nextTimerAt(), clock.now() + 5000)
  clock.advance(5000)
  assert.deepEqual(await lookup, { kind: 'failure', reason: 'timeout', text: 'memory: timeout' })
})

test('zone data can change while it is asked', async () => {
  const dns = new MemoryResolver({})
  assert.equal((await dns.lookup('new.example', 'A')).kind, 'nxdomain')
  dns.set('new.example', { A: ['192.0.2.1'] })
  assert.equal((await dns.lookup('new.example', 'A')).kind, 'answer')
  dns.set('new.example', undefined)
  assert.equal((await dns.lookup('new.example', 'A')).kind, 'nxdomain')
})
