import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Prng } from '../../src/lib/prng.ts'
import { AddressGuard, MxFinder } from '../../src/deliver/mx.ts'
import type { MxAnswer } from '../../src/deliver/mx.ts'
import type { FamilyOrder } from '../../src/deliver/mx-addresses.ts'
import { MemoryResolver } from '../../src/net/resolver-memory.ts'
import type { ZoneData } from '../../src/net/resolver-memory.ts'

interface Lab {
  readonly zone?: ZoneData
  readonly allowHosts?: readonly string[]
  readonly ownAddresses?: readonly string[]
  readonly refusePrivate?: boolean
  readonly families?: FamilyOrder
  readonly seed?: number
  readonly port?: number
}

function finder(lab: Lab): MxFinder {
  const { zone = {}, allowHosts = [], ownAddresses = ['127.0.0.1', '203.0.113.7', '2001:db8:7::7'], refusePrivate = false } = lab
  const guard = AddressGuard.make({ allowHosts, ownAddresses, refusePrivate })
  assert(guard.ok)
  const settings = { hostname: 'Us.example.net', families: lab.families ?? 'ipv6-first', port: lab.port ?? 25 }
  return new MxFinder(new MemoryResolver(zone), new Prng(lab.seed ?? 1), settings, guard.value)
}

/** `name@preference address address …` a host in the order to try them, or the reply. */
function told(answer: MxAnswer): string[] {
  if (answer.kind !== 'hosts') return [`${answer.kind} ${answer.reply.code} ${answer.reply.enhanced} ${answer.reply.text}`]
  return answer.hosts.map(({ name, preference, addresses }) => `${name}@${preference} ${addresses.join(' ')}`)
}

const HOSTS: ZoneData = {
  'a.example': { A: ['192.0.2.1'] },
  'b.example': { A: ['192.0.2.2'] },
  'c.example': { A: ['192.0.2.3'], AAAA: ['2001:db8::3'] },
  'six.example': { AAAA: ['2001:db8::6'] },
  'alias.example': { CNAME: 'a.example' },
  'own4.example': { A: ['203.0.113.7'] },
  'own6.example': { AAAA: ['2001:db8:7:0:0::7'] },
  'slow.example': { fails: 'timeout' },
  'half.example': { A: ['192.0.2.9'], failing: { AAAA: 'servfail' } },
  'empty.example': { TXT: ['nothing here'] },
  'loopback.example': { A: ['127.0.0.1'], AAAA: ['::1'] },
  'mapped.example': { AAAA: ['127.0.0.1'] },
  'link.example': { AAAA: ['fe80::1'], A: ['169.254.1.1'] },
  'zero.example': { A: ['0.0.0.0'] },
  'private.example': { A: ['10.1.2.3'] },
  'mixed.example': { A: ['127.0.0.1', '192.0.2.8'] },
  'us.example.net': { A: ['198.51.100.200'] },
}

interface Row {
  readonly name: string
  /** MX records of `d.example`, unless `domain` says otherwise. */
  readonly mx?: readonly (readonly [number, string])[]
  readonly domain?: string
  readonly zone?: ZoneData
  readonly lab?: Lab
  readonly want: readonly string[]
}

const NONE = 'permanent 550 5.4.4 No usable mail host for d.example:'
const LOOP = 'permanent 554 5.4.6 Mail for d.example loops back to this server'

const TABLE: readonly Row[] = [
  {
    name: 'hosts come by preference',
    mx: [
      [20, 'b.example'],
      [10, 'a.example'],
      [5, 'six.example'],
    ],
    want: ['six.example@5 2001:db8::6', 'a.example@10 192.0.2.1', 'b.example@20 192.0.2.2'],
  },
  {
    name: 'both families of a host, IPv6 first',
    mx: [[10, 'c.example']],
    want: ['c.example@10 2001:db8::3 192.0.2.3'],
  },
  {
    name: 'IPv4 first when asked for',
    mx: [[10, 'c.example']],
    lab: { families: 'ipv4-first' },
    want: ['c.example@10 192.0.2.3 2001:db8::3'],
  },
  { name: 'IPv4 only', mx: [[10, 'c.example']], lab: { families: 'ipv4-only' }, want: ['c.example@10 192.0.2.3'] },
  { name: 'IPv6 only', mx: [[10, 'c.example']], lab: { families: 'ipv6-only' }, want: ['c.example@10 2001:db8::3'] },
  {
    name: 'a host without the only family',
    mx: [[10, 'a.example']],
    lab: { families: 'ipv6-only' },
    want: [`${NONE} a.example has no address`],
  },
  { name: 'an alias as mail exchanger is tolerated', mx: [[10, 'alias.example']], want: ['alias.example@10 192.0.2.1'] },
  {
    name: 'a host named twice counts once, with its best preference',
    mx: [
      [30, 'a.example'],
      [10, 'A.Example.'],
      [20, 'b.example'],
    ],
    want: ['a.example@10 192.0.2.1', 'b.example@20 192.0.2.2'],
  },
  {
    name: 'a domain that is an alias',
    domain: 'www.example',
    zone: { 'www.example': { CNAME: 'd.example' }, 'd.example': { MX: [[10, 'a.example']] } },
    want: ['a.example@10 192.0.2.1'],
  },
  { name: 'without MX the domain itself', domain: 'c.example', want: ['c.example@0 2001:db8::3 192.0.2.3'] },
  {
    name: 'without MX and without address',
    domain: 'empty.example',
    want: ['permanent 550 5.4.4 No usable mail host for empty.example: empty.example has no address'],
  },
  {
    name: 'without MX, the address cannot be looked up',
    domain: 'q.example',
    zone: { 'q.example': { TXT: ['x'], failing: { A: 'timeout', AAAA: 'timeout' } } },
    want: ['temporary 451 4.4.3 No usable mail host for q.example: q.example could not be looked up: memory: timeout'],
  },
  { name: 'a domain that does not exist', domain: 'gone.example', want: ['permanent 550 5.1.2 Domain gone.example does not exist'] },
  { name: 'a domain that cannot be asked', domain: 'a..b', want: ['permanent 550 5.1.2 Recipient domain is not a domain name'] },
  { name: 'DNS fails', domain: 'slow.example', want: ['temporary 451 4.4.3 DNS lookup of slow.example failed: memory: timeout'] },
  { name: 'null MX', mx: [[0, '.']], want: ['permanent 556 5.1.10 Domain d.example does not accept mail (null MX)'] },
  {
    name: 'a root among other hosts means nothing',
    mx: [
      [0, '.'],
      [10, 'a.example'],
    ],
    want: ['a.example@10 192.0.2.1'],
  },
  {
    name: 'hosts that cannot be looked up, do not exist or have no address are passed over',
    mx: [
      [1, 'slow.example'],
      [2, 'gone.example'],
      [3, 'empty.example'],
      [4, '192.0.2.44'],
      [5, 'a.example'],
    ],
    want: ['a.example@5 192.0.2.1'],
  },
  { name: 'one family that fails does not spoil the other', mx: [[10, 'half.example']], want: ['half.example@10 192.0.2.9'] },
  {
    name: 'one host that may come back makes it temporary',
    mx: [
      [10, 'gone.example'],
      [20, 'slow.example'],
    ],
    want: ['temporary 451 4.4.3 No usable mail host for d.example: slow.example could not be looked up: memory: timeout'],
  },
  {
    name: 'no host that exists',
    mx: [
      [10, 'gone.example'],
      [20, 'empty.example'],
    ],
    want: [`${NONE} gone.example does not exist`],
  },
  { name: 'a path, as if it were a socket on this machine', mx: [[10, '/run/lmtp']], want: [`${NONE} /run/lmtp is not a host name`] },
  { name: 'an address instead of a name', mx: [[10, '192.0.2.44']], want: [`${NONE} 192.0.2.44 is not a host name`] },
  {
    name: 'ourselves by name: only better hosts remain',
    mx: [
      [10, 'a.example'],
      [20, 'us.example.net'],
      [20, 'b.example'],
      [30, 'c.example'],
    ],
    want: ['a.example@10 192.0.2.1'],
  },
  {
    name: 'ourselves by IPv4 address',
    mx: [
      [10, 'a.example'],
      [20, 'own4.example'],
      [30, 'b.example'],
    ],
    want: ['a.example@10 192.0.2.1'],
  },
  {
    name: 'ourselves by IPv6 address, written otherwise',
    mx: [
      [10, 'own6.example'],
      [10, 'a.example'],
    ],
    want: [LOOP],
  },
  { name: 'ourselves alone', mx: [[10, 'US.example.net']], want: [LOOP] },
  {
    name: 'we are the backup and the better host is down in DNS',
    mx: [
      [10, 'slow.example'],
      [20, 'us.example.net'],
    ],
    want: ['temporary 451 4.4.3 No usable mail host for d.example: slow.example could not be looked up: memory: timeout'],
  },
  {
    name: 'loopback is refused',
    mx: [[10, 'loopback.example']],
    want: [`${NONE} loopback.example has the address 127.0.0.1, which is refused (loopback)`],
  },
  {
    name: 'mapped loopback is refused',
    mx: [[10, 'mapped.example']],
    want: [`${NONE} mapped.example has the address 127.0.0.1, which is refused (loopback)`],
  },
  {
    name: 'link-local is refused',
    mx: [[10, 'link.example']],
    want: [`${NONE} link.example has the address 169.254.1.1, which is refused (linkLocal)`],
  },
  {
    name: 'unspecified is refused',
    mx: [[10, 'zero.example']],
    want: [`${NONE} zero.example has the address 0.0.0.0, which is refused (unspecified)`],
  },
  {
    name: 'a refused host does not take others along',
    mx: [
      [10, 'loopback.example'],
      [20, 'a.example'],
    ],
    want: ['a.example@20 192.0.2.1'],
  },
  { name: 'of a host only the refused addresses go', mx: [[10, 'mixed.example']], want: ['mixed.example@10 192.0.2.8'] },
  { name: 'private networks are reached by default', mx: [[10, 'private.example']], want: ['private.example@10 10.1.2.3'] },
  {
    name: 'private networks are refused when asked for',
    mx: [[10, 'private.example']],
    lab: { refusePrivate: true },
    want: [`${NONE} private.example has the address 10.1.2.3, which is refused (private)`],
  },
  {
    name: 'allowHosts permits a network',
    mx: [[10, 'loopback.example']],
    lab: { allowHosts: ['127.0.0.0/8'] },
    want: ['loopback.example@10 127.0.0.1'],
  },
  {
    name: 'allowHosts permits a name',
    mx: [[10, 'loopback.example']],
    lab: { allowHosts: ['Loopback.example'] },
    want: ['loopback.example@10 ::1 127.0.0.1'],
  },
  {
    name: 'allowHosts permits our own address',
    mx: [[10, 'own4.example']],
    lab: { allowHosts: ['203.0.113.7'] },
    want: ['own4.example@10 203.0.113.7'],
  },
  { name: 'an address literal', domain: '[192.0.2.77]', want: ['192.0.2.77@0 192.0.2.77'] },
  { name: 'an IPv6 literal', domain: '[IPv6:2001:DB8::77]', want: ['2001:db8::77@0 2001:db8::77'] },
  {
    name: 'an IPv6 literal without its tag',
    domain: '[2001:db8::77]',
    want: ['permanent 550 5.1.3 Recipient domain is not an address literal'],
  },
  {
    name: 'an IPv4 literal with the tag',
    domain: '[IPv6:192.0.2.77]',
    want: ['permanent 550 5.1.3 Recipient domain is not an address literal'],
  },
  { name: 'a literal of something else', domain: '[x-net:1]', want: ['permanent 550 5.1.3 Recipient domain is not an address literal'] },
  { name: 'a literal that does not end', domain: '[192.0.2.1', want: ['permanent 550 5.1.3 Recipient domain is not an address literal'] },
  {
    name: 'a loopback literal',
    domain: '[127.0.0.1]',
    want: ['permanent 550 5.4.4 No usable mail host for [127.0.0.1]: 127.0.0.1 has the address 127.0.0.1, which is refused (loopback)'],
  },
  { name: 'our own literal', domain: '[203.0.113.7]', want: ['permanent 554 5.4.6 Mail for [203.0.113.7] loops back to this server'] },
]

for (const row of TABLE) {
  test(`mail exchangers: ${row.name}`, async () => {
    const zone = { ...HOSTS, ...(row.mx && { 'd.example': { MX: row.mx } }), ...row.zone }
    assert.deepEqual(told(await finder({ zone, ...row.lab }).find(row.domain ?? 'd.example')), row.want)
  })
}

test('hosts come by preference, and the addresses of one family are shuffled, by the seed', async () => {
  const zone: ZoneData = {
    ...HOSTS,
    'd.example': {
      MX: [
        [20, 'c.example'],
        [10, 'many.example'],
      ],
    },
    'many.example': { A: ['192.0.2.11', '192.0.2.12', '192.0.2.13'], AAAA: ['2001:db8::11', '2001:db8::12'] },
  }
  const seen = new Set<string>()
  for (let seed = 0; seed < 200; seed++) {
    const once = told(await finder({ zone, seed }).find('d.example'))
    assert.deepEqual(told(await finder({ zone, seed }).find('d.example')), once, 'the same seed, the same order')
    assert.equal(once[1], 'c.example@20 2001:db8::3 192.0.2.3')
    assert.match(once[0] as string, /^many\.example@10 2001:\S+ 192\.\S+ 2001:\S+ 192\.\S+ 192\.\S+$/)
    seen.add(once[0] as string)
  }
  assert.equal(seen.size, 12, 'every order of each family occurs')
})

test('the port is the one for mail, except in labs', async () => {
  const zone = { ...HOSTS, 'd.example': { MX: [[10, 'a.example']] } } as const
  for (const port of [25, 2526]) {
    const answer = await finder({ zone, port }).find('d.example')
    assert.equal(answer.kind === 'hosts' && answer.hosts[0]?.port, port)
  }
})

test('an answer holds as long as the shortest-lived of what it rests on', async () => {
  const zone: ZoneData = {
    'd.example': {
      MX: [
        [10, 'a.example'],
        [20, 'b.example'],
      ],
      ttlMs: 500_000,
    },
    'a.example': { A: ['192.0.2.1'], AAAA: ['2001:db8::1'], ttlMs: 400_000 },
    'b.example': { A: ['192.0.2.2'], ttlMs: 300_000 },
  }
  const whole = await finder({ zone }).find('d.example')
  assert.equal(whole.kind === 'hosts' && whole.ttlMs, 300_000)
  const partial = await finder({ zone: { ...zone, 'b.example': { fails: 'timeout' } } }).find('d.example')
  assert.equal(partial.kind === 'hosts' && partial.ttlMs, 60_000, 'a host that could not be looked up is asked again soon')
})

test('the names of a site are all its mail exchangers, sorted, whatever became of each', async () => {
  const mx = [
    [30, 'slow.example'],
    [20, 'B.example'],
    [10, 'a.example'],
    [40, 'us.example.net'],
    [50, 'not,a,host'],
  ] as const
  const answer = await finder({ zone: { ...HOSTS, 'd.example': { MX: mx } } }).find('d.example')
  assert.deepEqual(answer.kind === 'hosts' && answer.names, ['a.example', 'b.example', 'slow.example', 'us.example.net'])
})

test('only so many mail exchangers and addresses are looked at', async () => {
  const zone: Record<string, ZoneData[string]> = {
    'd.example': { MX: Array.from({ length: 500 }, (_, i) => [i, `h${i}.example`] as const) },
  }
  for (let i = 0; i < 500; i++) zone[`h${i}.example`] = { A: Array.from({ length: 100 }, (_, n) => `192.0.${i >> 1}.${n}`) }
  const answer = await finder({ zone }).find('d.example')
  assert(answer.kind === 'hosts')
  assert.equal(answer.hosts.length, 32)
  assert.equal(answer.hosts[0]?.name, 'h0.example')
  assert.equal(answer.hosts[0]?.addresses.length, 16)
})

test('an entry of allowHosts that is neither name nor network is an error', () => {
  const guard = AddressGuard.make({ allowHosts: ['127.0.0.0/8', '10.0.0.1/8'], ownAddresses: [], refusePrivate: false })
  assert.match(guard.ok ? '' : guard.error, /allowHosts: 10\.0\.0\.1\/8/)
})
