import assert from 'node:assert/strict'
import { test } from 'node:test'
import packet from 'dns-packet'
import fc from 'fast-check'
import { Prng } from '../../../src/lib/prng.ts'
import { EDNS_PAYLOAD_BYTES, encodeQuery, readAnswer } from '../../../src/wire/dns/message.ts'
import type { Verdict } from '../../../src/wire/dns/message.ts'
import type { RecordType } from '../../../src/wire/dns/types.ts'
import { AA, AD, TC, replyTo, soa } from '../../support/dns.ts'
import type { ReplyParts } from '../../support/dns.ts'

const NAME = 'example.org'
const ask = (type: RecordType, edns = true): Buffer => encodeQuery(0x1234, NAME, type, edns)

function answer<T extends RecordType>(type: T, parts: ReplyParts, edns = true): Verdict<T> {
  const query = ask(type, edns)
  return readAnswer(replyTo(query, parts), query, type)
}

test('a query asks for recursion and the AD bit, and offers EDNS without DO', () => {
  const query = ask('MX')
  const decoded = packet.decode(query)
  assert.equal(decoded.id, 0x1234)
  assert.equal(decoded.flags, 0x120)
  assert.deepEqual(
    decoded.questions.map(({ name, type }) => [name, type]),
    [[NAME, 'MX']],
  )
  assert.equal(decoded.additionals[0]?.udpPayloadSize, EDNS_PAYLOAD_BYTES)
  assert.equal(query.readUInt16BE(query.length - 4), 0, 'no flags in OPT')
  assert.equal(packet.decode(ask('MX', false)).additionals.length, 0)
})

interface Row {
  readonly name: string
  readonly type: RecordType
  readonly parts: ReplyParts
  readonly want: unknown
}

const TABLE: readonly Row[] = [
  {
    name: 'addresses',
    type: 'A',
    parts: {
      answers: [
        { name: NAME, type: 'A', ttl: 60, data: '192.0.2.1' },
        { name: NAME, type: 'A', ttl: 30, data: '192.0.2.2' },
      ],
    },
    want: { kind: 'answer', records: ['192.0.2.1', '192.0.2.2'], ttl: 30, secure: false },
  },
  {
    name: 'AAAA in canonical text, mapped ones unwrapped',
    type: 'AAAA',
    parts: {
      answers: [
        { name: NAME, type: 'AAAA', ttl: 60, data: '2001:DB8:0:0:0:0:0:1' },
        { name: NAME, type: 'AAAA', ttl: 60, data: '::ffff:127.0.0.1' },
      ],
    },
    want: { kind: 'answer', records: ['2001:db8::1', '127.0.0.1'], ttl: 60, secure: false },
  },
  {
    name: 'MX, secure, names in lower case',
    type: 'MX',
    parts: { flags: AD, answers: [{ name: 'EXAMPLE.org', type: 'MX', ttl: 300, data: { preference: 10, exchange: 'MX1.Example.ORG' } }] },
    want: { kind: 'answer', records: [{ preference: 10, exchange: 'mx1.example.org' }], ttl: 300, secure: true },
  },
  {
    name: 'a null MX',
    type: 'MX',
    parts: { answers: [{ name: NAME, type: 'MX', ttl: 300, data: { preference: 0, exchange: '.' } }] },
    want: { kind: 'answer', records: [{ preference: 0, exchange: '' }], ttl: 300, secure: false },
  },
  {
    name: 'TXT of several strings joined, bytes kept',
    type: 'TXT',
    parts: { answers: [{ name: NAME, type: 'TXT', ttl: 5, data: ['v=spf1 ', '-all', Buffer.of(0xe4)] }] },
    want: { kind: 'answer', records: ['v=spf1 -all\u00e4'], ttl: 5, secure: false },
  },
  {
    name: 'TLSA',
    type: 'TLSA',
    parts: {
      answers: [{ name: NAME, type: 'TLSA', ttl: 5, data: { usage: 3, selector: 1, matchingType: 1, certificate: Buffer.from('ab') } }],
    },
    want: { kind: 'answer', records: [{ usage: 3, selector: 1, matchingType: 1, data: Buffer.from('ab') }], ttl: 5, secure: false },
  },
  {
    name: 'PTR',
    type: 'PTR',
    parts: { answers: [{ name: NAME, type: 'PTR', ttl: 5, data: 'Host.example.net' }] },
    want: { kind: 'answer', records: ['host.example.net'], ttl: 5, secure: false },
  },
  {
    name: 'SOA',
    type: 'SOA',
    parts: { answers: [soa(NAME, 77, 9)] },
    want: {
      kind: 'answer',
      records: [{ mname: 'ns.example.org', rname: 'hostmaster.example.org', serial: 1, refresh: 2, retry: 3, expire: 4, minimum: 9 }],
      ttl: 77,
      secure: false,
    },
  },
  {
    name: 'an alias followed, the shortest time counting',
    type: 'A',
    parts: {
      answers: [
        { name: 'b.example', type: 'A', ttl: 600, data: '192.0.2.1' },
        { name: NAME, type: 'CNAME', ttl: 20, data: 'a.example' },
        { name: 'a.example', type: 'CNAME', ttl: 900, data: 'b.example' },
      ],
    },
    want: { kind: 'answer', records: ['192.0.2.1'], ttl: 20, secure: false },
  },
  {
    name: 'a question for the alias itself',
    type: 'CNAME',
    parts: { answers: [{ name: NAME, type: 'CNAME', ttl: 20, data: 'a.example' }] },
    want: { kind: 'answer', records: ['a.example'], ttl: 20, secure: false },
  },
  {
    name: 'records of other owners left aside',
    type: 'A',
    parts: { answers: [{ name: 'evil.example', type: 'A', ttl: 60, data: '192.0.2.66' }], authorities: [soa(NAME, 60, 60)] },
    want: { kind: 'nodata', ttl: 60, secure: false },
  },
  {
    name: 'no data, cached by the SOA minimum',
    type: 'A',
    parts: { authorities: [soa(NAME, 600, 60)] },
    want: { kind: 'nodata', ttl: 60, secure: false },
  },
  {
    name: 'no data, cached by the SOA time to live',
    type: 'A',
    parts: { authorities: [soa(NAME, 30, 60)] },
    want: { kind: 'nodata', ttl: 30, secure: false },
  },
  { name: 'no data without SOA', type: 'A', parts: {}, want: { kind: 'nodata', ttl: undefined, secure: false } },
  {
    name: 'no such domain',
    type: 'A',
    parts: { rcode: 3, flags: AD, authorities: [soa('org', 900, 300)] },
    want: { kind: 'nxdomain', ttl: 300, secure: true },
  },
  {
    name: 'an alias to a name that does not exist (RFC 6604)',
    type: 'A',
    parts: { rcode: 3, answers: [{ name: NAME, type: 'CNAME', ttl: 20, data: 'gone.example' }], authorities: [soa('example', 900, 300)] },
    want: { kind: 'nxdomain', ttl: 20, secure: false },
  },
  { name: 'a referral from a server that does not recurse', type: 'A', parts: {}, want: { kind: 'nodata', ttl: undefined, secure: false } },
  { name: 'truncated', type: 'TXT', parts: { flags: TC }, want: { kind: 'truncated' } },
  { name: 'SERVFAIL', type: 'A', parts: { rcode: 2 }, want: { kind: 'failure', reason: 'servfail', text: 'SERVFAIL' } },
  { name: 'REFUSED', type: 'A', parts: { rcode: 5 }, want: { kind: 'failure', reason: 'refused', text: 'REFUSED' } },
  { name: 'an unknown error', type: 'A', parts: { rcode: 9 }, want: { kind: 'failure', reason: 'servfail', text: 'RCODE 9' } },
  { name: 'FORMERR of a server that may not know EDNS', type: 'A', parts: { rcode: 1 }, want: { kind: 'noEdns' } },
  {
    name: 'BADVERS, whose upper bits stand in OPT',
    type: 'A',
    parts: { additionals: [{ type: 'OPT', name: '.', extendedRcode: 1, options: [] }] },
    want: { kind: 'noEdns' },
  },
  {
    name: 'another opcode',
    type: 'A',
    parts: { flags: 0x2000 },
    want: { kind: 'failure', reason: 'malformed', text: 'not a reply to a standard query' },
  },
  { name: 'another id', type: 'A', parts: { id: 7 }, want: { kind: 'foreign' } },
  { name: 'another question', type: 'A', parts: { question: { name: 'example.com', type: 'A' } }, want: { kind: 'foreign' } },
  { name: 'another type in the question', type: 'A', parts: { question: { name: NAME, type: 'AAAA' } }, want: { kind: 'foreign' } },
  {
    name: 'a question that comes back in other case is ours',
    type: 'A',
    parts: { question: { name: 'exaMple.ORG', type: 'A' }, answers: [{ name: 'Example.org', type: 'A', ttl: 60, data: '192.0.2.1' }] },
    want: { kind: 'answer', records: ['192.0.2.1'], ttl: 60, secure: false },
  },
]

for (const row of TABLE) {
  test(`an answer is read: ${row.name}`, () => assert.deepEqual(answer(row.type, row.parts), row.want))
}

test('FORMERR without EDNS in the question is a failure', () => {
  assert.deepEqual(answer('A', { rcode: 1 }, false), { kind: 'failure', reason: 'servfail', text: 'FORMERR' })
})

test('an empty reply of a server that neither recurses nor is authoritative is no answer', () => {
  const query = ask('A')
  const lame = replyTo(query, {})
  lame[3] = (lame[3] as number) & ~0x80
  assert.deepEqual(readAnswer(lame, query, 'A'), { kind: 'failure', reason: 'refused', text: 'no recursion' })
  const authoritative = replyTo(query, { flags: AA })
  authoritative[3] = (authoritative[3] as number) & ~0x80
  assert.equal(readAnswer(authoritative, query, 'A').kind, 'nodata')
})

test('an error may come without the question, an answer may not', () => {
  const query = ask('A')
  const header = (rcode: number): Buffer => Buffer.of(0x12, 0x34, 0x81, 0x80 | rcode, 0, 0, 0, 0, 0, 0, 0, 0)
  assert.equal(readAnswer(header(1), query, 'A').kind, 'noEdns')
  assert.equal(readAnswer(header(2), query, 'A').kind, 'failure')
  assert.equal(readAnswer(header(0), query, 'A').kind, 'foreign')
  assert.equal(readAnswer(header(3), query, 'A').kind, 'foreign')
})

test('an alias loop and a chain that is too long are malformed', () => {
  const loop = [
    { name: NAME, type: 'CNAME', ttl: 1, data: 'a.example' },
    { name: 'a.example', type: 'CNAME', ttl: 1, data: NAME },
  ]
  const chain = Array.from({ length: 40 }, (_, i) => ({
    name: i === 0 ? NAME : `c${i}.example`,
    type: 'CNAME',
    ttl: 1,
    data: `c${i + 1}.example`,
  }))
  for (const answers of [loop, chain]) {
    assert.deepEqual(answer('A', { answers }), { kind: 'failure', reason: 'malformed', text: 'CNAME chain too long' })
  }
})

test('a time to live with its first bit set counts as zero (RFC 2181 §8)', () => {
  assert.deepEqual(answer('A', { answers: [{ name: NAME, type: 'A', ttl: 0x80000001, data: '192.0.2.1' }] }), {
    kind: 'answer',
    records: ['192.0.2.1'],
    ttl: 0,
    secure: false,
  })
})

/** A reply made by hand: `answers` are the bytes behind the question. */
function raw(type: RecordType, count: number, answers: Buffer): Verdict<RecordType> {
  const query = ask(type, false)
  const head = Buffer.from(query)
  head.writeUInt16BE(0x8180, 2)
  head.writeUInt16BE(count, 6)
  return readAnswer(Buffer.concat([head, answers]), query, type)
}

/** Owner as a pointer to the question, type, class IN, ttl 60, data. */
function record(type: number, data: Buffer, length = data.length): Buffer {
  const head = Buffer.from([0xc0, 12, type >> 8, type & 0xff, 0, 1, 0, 0, 0, 60, length >> 8, length & 0xff])
  return Buffer.concat([head, data])
}

const RAW: readonly [name: string, type: RecordType, count: number, bytes: Buffer][] = [
  ['fewer records than announced', 'A', 2, record(1, Buffer.from([192, 0, 2, 1]))],
  ['record data cut short', 'A', 1, record(1, Buffer.from([192, 0, 2]), 4)],
  ['an address of three bytes', 'A', 1, record(1, Buffer.from([192, 0, 2]))],
  ['an address of no bytes', 'A', 1, record(1, Buffer.alloc(0))],
  ['an IPv6 address of four bytes', 'AAAA', 1, record(28, Buffer.from([192, 0, 2, 1]))],
  ['a name that points to itself', 'MX', 1, record(15, Buffer.from([0, 10, 0xc0, 12 + 17 + 14]))],
  ['a name that points forwards', 'MX', 1, record(15, Buffer.from([0, 10, 0xc0, 200]))],
  ['a name that points into the header', 'MX', 1, record(15, Buffer.from([0, 10, 0xc0, 2]))],
  ['a name that runs over its record', 'MX', 1, Buffer.concat([record(15, Buffer.from([0, 10, 3, 0x61])), Buffer.from([0x62, 0x63, 0])])],
  ['a label of an unknown kind', 'MX', 1, record(15, Buffer.from([0, 10, 0x41, 0x61, 0]))],
  ['MX data with bytes behind the name', 'MX', 1, record(15, Buffer.from([0, 10, 1, 0x61, 0, 7]))],
  ['a text longer than its record', 'TXT', 1, record(16, Buffer.from([9, 0x61]))],
  ['TLSA without data', 'TLSA', 1, record(52, Buffer.from([3, 1, 1]))],
  ['SOA too short', 'SOA', 1, record(6, Buffer.from([0, 0, 0, 0, 0, 1]))],
  ['more records than anybody needs', 'TXT', 1500, Buffer.concat(Array.from({ length: 1500 }, () => record(16, Buffer.from([1, 0x61]))))],
]

for (const [name, type, count, bytes] of RAW) {
  test(`an answer is malformed: ${name}`, () => {
    const verdict = raw(type, count, bytes)
    assert.equal(verdict.kind, 'failure')
    assert.equal(verdict.kind === 'failure' && verdict.reason, 'malformed')
  })
}

test('names that are not plain text are left out while others remain', () => {
  const good = record(15, Buffer.from([0, 10, 1, 0x61, 0]))
  const dot = record(15, Buffer.from([0, 10, 3, 0x61, 0x2e, 0x62, 0]))
  const space = record(15, Buffer.from([0, 10, 3, 0x61, 0x20, 0x62, 0]))
  assert.deepEqual(raw('MX', 3, Buffer.concat([dot, good, space])), {
    kind: 'answer',
    records: [{ preference: 10, exchange: 'a' }],
    ttl: 60,
    secure: false,
  })
  assert.equal(raw('MX', 2, Buffer.concat([dot, space])).kind, 'failure')
})

test('records of types that nobody asks for are stepped over, whatever they hold', () => {
  const nsec = record(47, Buffer.from([0xff, 0xff, 0xff]))
  const good = record(1, Buffer.from([192, 0, 2, 1]))
  assert.equal(raw('A', 2, Buffer.concat([nsec, good])).kind, 'answer')
})

test('a pointer chain of many steps ends', () => {
  // Each name is a pointer to the one before; 127 of them are followed, more are refused.
  const hops: Buffer[] = []
  const start = ask('MX', false).length
  for (let i = 0; i < 300; i++) {
    const at = start + i * 14
    const target = i === 0 ? 12 : at - 14
    hops.push(Buffer.from([0xc0 | (target >> 8), target & 0xff, 0, 1, 0, 1, 0, 0, 0, 60, 0, 2, 0, 0]))
  }
  assert.equal(raw('MX', 300, Buffer.concat(hops)).kind, 'failure')
})

test('no bytes make the reader throw', () => {
  const types: RecordType[] = ['A', 'AAAA', 'MX', 'TXT', 'PTR', 'TLSA', 'CNAME', 'SOA']
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.constantFrom(...types), (bytes, type) => {
      const query = ask(type)
      readAnswer(Buffer.from(bytes), query, type)
      const behind = Buffer.concat([query, Buffer.from(bytes)])
      behind.writeUInt16BE(0x8180, 2)
      behind.writeUInt16BE((bytes[0] ?? 0) % 5, 6)
      behind.writeUInt16BE((bytes[1] ?? 0) % 3, 8)
      readAnswer(behind, query, type)
    }),
    { numRuns: 3000 },
  )
})

test('no damage to a good answer makes the reader throw or hang', () => {
  const random = new Prng(20261124)
  const query = ask('MX')
  const good = replyTo(query, {
    answers: [
      { name: NAME, type: 'CNAME', ttl: 20, data: 'a.example' },
      { name: 'a.example', type: 'MX', ttl: 300, data: { preference: 10, exchange: 'mx.a.example' } },
    ],
    authorities: [soa(NAME, 60, 60)],
    additionals: [{ type: 'OPT', name: '.', options: [] }],
  })
  for (let i = 0; i < 20_000; i++) {
    const bytes = Buffer.from(good)
    for (let n = random.below(4); n >= 0; n--) bytes[2 + random.below(bytes.length - 2)] = random.below(256)
    readAnswer(bytes.subarray(0, random.below(10) === 0 ? random.below(bytes.length) : bytes.length), query, 'MX')
  }
})
