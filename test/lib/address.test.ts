import assert from 'node:assert/strict'
import { isIP } from 'node:net'
import { test } from 'node:test'
import fc from 'fast-check'
import { CidrSet, addressClass, canonicalAddress, formatAddress, networkKey, parseAddress, parseCidr } from '../../src/lib/address.ts'

const CANONICAL: readonly [text: string, want: string | undefined][] = [
  ['192.0.2.1', '192.0.2.1'],
  ['0.0.0.0', '0.0.0.0'],
  ['255.255.255.255', '255.255.255.255'],
  ['192.0.2.256', undefined],
  ['192.0.2', undefined],
  ['192.0.2.1.1', undefined],
  ['192.0.2.', undefined],
  ['.192.0.2.1', undefined],
  ['192..0.2', undefined],
  ['192.0.2.01', undefined],
  ['192.0.2.00', undefined],
  ['0x7f.0.0.1', undefined],
  ['192.0.2.1 ', undefined],
  ['1', undefined],
  ['', undefined],
  ['::', '::'],
  ['::1', '::1'],
  ['1::', '1::'],
  ['2001:DB8::1', '2001:db8::1'],
  ['2001:0db8:0000:0000:0000:0000:0000:0001', '2001:db8::1'],
  ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
  ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
  ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
  ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
  ['::2:3:4:5:6:7:8', '0:2:3:4:5:6:7:8'],
  ['::ffff:192.0.2.1', '192.0.2.1'],
  ['::ffff:c000:201', '192.0.2.1'],
  ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
  ['1:2:3:4:5:6:1.2.3.4', '1:2:3:4:5:6:102:304'],
  ['fe80::1%eth0', 'fe80::1'],
  ['fe80::1%', undefined],
  ['1:2:3:4:5:6:7:1.2.3.4', undefined],
  ['1:2:3:4:5:6:7', undefined],
  ['1:2:3:4:5:6:7:8:9', undefined],
  ['1:2:3:4::5:6:7:8', undefined],
  ['1::2::3', undefined],
  [':::', undefined],
  [':1::', undefined],
  ['1:2:3:4:5:6:7:8:', undefined],
  ['1:', undefined],
  ['12345::', undefined],
  ['::g', undefined],
  ['::1.2.3', undefined],
  ['::1.2.3.4.5', undefined],
  ['::1.2.3.4:5', undefined],
  ['[::1]', undefined],
]

for (const [text, want] of CANONICAL) {
  test(`an address is read: ${JSON.stringify(text)}`, () => assert.equal(canonicalAddress(text), want))
}

test('an address survives being written and read', () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
      const address = parseAddress(text)
      assert(address, text)
      assert.deepEqual([...(parseAddress(formatAddress(address)) ?? [])], [...address])
    }),
    { numRuns: 2000 },
  )
})

test('what is read as an address is what Node takes for one', () => {
  const character = fc.constantFrom(...'0123456789abF:.:.:%')
  fc.assert(
    fc.property(fc.string({ unit: character, maxLength: 24 }), (text) => {
      if (text.includes('%')) parseAddress(text)
      else assert.equal(parseAddress(text) !== undefined, isIP(text) !== 0, text)
    }),
    { numRuns: 20_000 },
  )
})

const CLASSES: readonly [string, string][] = [
  ['8.8.8.8', 'public'],
  ['0.0.0.0', 'unspecified'],
  ['0.1.2.3', 'unspecified'],
  ['127.0.0.1', 'loopback'],
  ['127.255.255.255', 'loopback'],
  ['128.0.0.1', 'public'],
  ['10.1.2.3', 'private'],
  ['172.15.0.1', 'public'],
  ['172.16.0.1', 'private'],
  ['172.31.0.1', 'private'],
  ['172.32.0.1', 'public'],
  ['192.168.0.1', 'private'],
  ['100.63.0.1', 'public'],
  ['100.64.0.1', 'private'],
  ['100.128.0.1', 'public'],
  ['169.254.1.1', 'linkLocal'],
  ['224.0.0.1', 'multicast'],
  ['239.1.1.1', 'multicast'],
  ['240.0.0.1', 'reserved'],
  ['255.255.255.255', 'reserved'],
  ['::', 'unspecified'],
  ['::1', 'loopback'],
  ['::2', 'reserved'],
  ['::127.0.0.1', 'reserved'],
  ['::ffff:127.0.0.1', 'loopback'],
  ['64:ff9b::127.0.0.1', 'loopback'],
  ['64:ff9b::8.8.8.8', 'public'],
  ['2002:7f00:1::', 'loopback'],
  ['fe80::1', 'linkLocal'],
  ['febf::1', 'linkLocal'],
  ['fec0::1', 'private'],
  ['fc00::1', 'private'],
  ['fdff::1', 'private'],
  ['fe00::1', 'reserved'],
  ['ff02::1', 'multicast'],
  ['2001:db8::1', 'public'],
]

for (const [text, want] of CLASSES) {
  test(`${text} is ${want}`, () => {
    const address = parseAddress(text)
    assert(address)
    assert.equal(addressClass(address), want)
  })
}

test('a prefix is an address and a length, with nothing behind it', () => {
  const table: [string, string | RegExp][] = [
    ['10.0.0.0/8', '10.0.0.0 8'],
    ['192.0.2.1', '192.0.2.1 32'],
    ['0.0.0.0/0', '0.0.0.0 0'],
    ['::/0', ':: 0'],
    ['2001:db8::/32', '2001:db8:: 32'],
    ['::1', '::1 128'],
    ['::ffff:10.0.0.0/104', '10.0.0.0 8'],
    ['10.0.0.1/8', /write 10\.0\.0\.0\/8$/],
    ['10.128.0.0/8', /write 10\.0\.0\.0\/8$/],
    ['2001:db8::1/64', /write 2001:db8::\/64$/],
    ['10.0.0.0/33', /out of range/],
    ['::/129', /out of range/],
    ['10.0.0.0/', /out of range/],
    ['10.0.0.0/08', /out of range/],
    ['10.0.0.0/-1', /out of range/],
    ['::ffff:10.0.0.0/8', /out of range/],
    ['10/8', /not an address/],
    ['example.org', /not an address/],
  ]
  for (const [text, want] of table) {
    const cidr = parseCidr(text)
    const got = cidr.ok ? `${formatAddress(cidr.value.address)} ${cidr.value.bits}` : cidr.error
    if (typeof want === 'string') assert.equal(got, want)
    else assert.match(got, want)
  }
})

test('a set of prefixes holds what lies in one of them', () => {
  const set = CidrSet.parse(['127.0.0.0/8', '192.0.2.128/25', '198.51.100.7', '2001:db8::/33', '::1', '172.16.0.0/12'])
  assert(set.ok)
  const inside = [
    '127.0.0.1',
    '127.255.0.1',
    '192.0.2.128',
    '192.0.2.255',
    '198.51.100.7',
    '2001:db8:7fff::1',
    '::1',
    '::ffff:127.0.0.1',
    '172.31.255.255',
  ]
  const outside = ['128.0.0.1', '192.0.2.127', '198.51.100.8', '2001:db8:8000::1', '::2', '172.32.0.0', 'example.org', '']
  for (const text of inside) assert.equal(set.value.hasText(text), true, text)
  for (const text of outside) assert.equal(set.value.hasText(text), false, text)
})

test('everything of one family does not take in the other', () => {
  const v4 = CidrSet.parse(['0.0.0.0/0'])
  const v6 = CidrSet.parse(['::/0'])
  assert(v4.ok && v6.ok)
  assert.deepEqual([v4.value.hasText('8.8.8.8'), v4.value.hasText('2001:db8::1')], [true, false])
  assert.deepEqual([v6.value.hasText('8.8.8.8'), v6.value.hasText('2001:db8::1')], [false, true])
})

test('a set agrees with comparing bits one by one', () => {
  const address = fc.oneof(fc.ipV4(), fc.ipV6())
  fc.assert(
    fc.property(fc.array(fc.tuple(address, fc.nat(128)), { maxLength: 8 }), address, (prefixes, text) => {
      const subject = parseAddress(text)
      assert(subject)
      const set = new CidrSet()
      let want = false
      for (const [base, length] of prefixes) {
        const bytes = parseAddress(base)
        assert(bytes)
        const bits = length % (bytes.length * 8 + 1)
        set.add({ address: bytes, bits })
        want ||= bytes.length === subject.length && bitsOf(bytes).slice(0, bits) === bitsOf(subject).slice(0, bits)
      }
      assert.equal(set.has(subject), want)
    }),
    { numRuns: 2000 },
  )
})

function bitsOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(2).padStart(8, '0')).join('')
}

test('a client counts as its IPv4 address or its IPv6 /64', () => {
  assert.equal(networkKey('192.0.2.7'), '192.0.2.7')
  assert.equal(networkKey('::ffff:192.0.2.7'), '192.0.2.7')
  assert.equal(networkKey('2001:db8:1:2:3:4:5:6'), '2001:db8:1:2::/64')
  assert.equal(networkKey('2001:db8:1:2::9'), '2001:db8:1:2::/64')
  assert.equal(networkKey('unknown'), 'unknown')
})
