import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Prng } from '../../src/lib/prng.ts'
import { PROXY_HEADER_BYTES_MAX, ProxyDecoder, encodeProxyV1, encodeProxyV2 } from '../../src/net/proxy-protocol.ts'
import type { ProxyHeader, ProxyStep } from '../../src/net/proxy-protocol.ts'

const V4: ProxyHeader = { kind: 'tcp', source: '192.0.2.1', sourcePort: 56324, destination: '198.51.100.1', destinationPort: 25 }
const V6: ProxyHeader = { kind: 'tcp', source: '2001:db8::1', sourcePort: 65535, destination: '2001:db8::2', destinationPort: 0 }
const LOCAL: ProxyHeader = { kind: 'local' }
const UNKNOWN: ProxyHeader = { kind: 'unknown' }
const latin = (text: string): Buffer => Buffer.from(text, 'latin1')

/** A version 2 header: the bytes of command, family, and what follows, with the length counted or given. */
function v2(command: number, family: number, rest: Buffer, length = rest.length): Buffer {
  const head = latin('\r\n\r\n\0\r\nQUIT\n').toString('latin1')
  return Buffer.concat([latin(head), Buffer.of(command, family, length >> 8, length & 0xff), rest])
}

const tlv = (type: number, value: Buffer): Buffer => Buffer.concat([Buffer.of(type, value.length >> 8, value.length & 0xff), value])
const V4_BLOCK = Buffer.from([192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 0x04, 0, 25])
const MAPPED_BLOCK = Buffer.concat([
  Buffer.from('00000000000000000000ffffc0000201', 'hex'),
  Buffer.from('00000000000000000000ffffc6336401', 'hex'),
  V4_BLOCK.subarray(8),
])

const GOOD: readonly [name: string, bytes: Buffer, want: ProxyHeader][] = [
  ['1, TCP4', latin('PROXY TCP4 192.0.2.1 198.51.100.1 56324 25\r\n'), V4],
  ['1, TCP6', latin('PROXY TCP6 2001:DB8:0::1 2001:db8::2 65535 0\r\n'), V6],
  ['1, UNKNOWN', latin('PROXY UNKNOWN\r\n'), UNKNOWN],
  ['1, UNKNOWN with something behind', latin('PROXY UNKNOWN ffff::1 a b c d e f\r\n'), UNKNOWN],
  ['1, as long as can be', latin(`PROXY UNKNOWN ${'f'.repeat(91)}\r\n`), UNKNOWN],
  ['2, TCP over IPv4', v2(0x21, 0x11, V4_BLOCK), V4],
  ['2, TCP over IPv6 with mapped addresses', v2(0x21, 0x21, MAPPED_BLOCK), V4],
  [
    '2, with TLVs',
    v2(0x21, 0x11, Buffer.concat([V4_BLOCK, tlv(2, latin('mx.example.org')), tlv(4, Buffer.alloc(3)), tlv(0xe0, Buffer.alloc(0))])),
    V4,
  ],
  ['2, with a checksum', encodeProxyV2(V4), V4],
  ['2, IPv6 with a checksum', encodeProxyV2(V6), V6],
  ['2, LOCAL', v2(0x20, 0x00, Buffer.alloc(0)), LOCAL],
  ['2, LOCAL with addresses to be ignored', v2(0x20, 0x11, V4_BLOCK), LOCAL],
  ['2, LOCAL of an unknown family', v2(0x20, 0xff, Buffer.from('whatever')), LOCAL],
  ['2, LOCAL with a checksum', encodeProxyV2(LOCAL), LOCAL],
  ['2, UNSPEC', v2(0x21, 0x00, Buffer.alloc(0)), UNKNOWN],
  ['2, UNIX', v2(0x21, 0x31, Buffer.alloc(216, 0x61)), UNKNOWN],
  ['2, as long as can be', v2(0x21, 0x11, Buffer.concat([V4_BLOCK, tlv(4, Buffer.alloc(PROXY_HEADER_BYTES_MAX - 16 - 12 - 3))])), V4],
]

const damaged = Buffer.from(encodeProxyV2(V4))
damaged[20] = 0xff

const BAD: readonly [name: string, bytes: Buffer, reason: RegExp][] = [
  ['SMTP', latin('EHLO client.example\r\n'), /no PROXY header/],
  ['a TLS hello', Buffer.from([0x16, 3, 1, 2, 0]), /no PROXY header/],
  ['lower case', latin('proxy TCP4'), /no PROXY header/],
  ['almost the signature', latin('\r\n\r\n\0\r\nQUIX'), /no PROXY header/],
  ['an unknown protocol', latin('PROXY UDP4 192.0.2.1 198.51.100.1 1 2\r\n'), /unreadable/],
  ['nothing behind PROXY', latin('PROXY \r\n'), /unreadable/],
  ['an IPv6 address as TCP4', latin('PROXY TCP4 ::1 198.51.100.1 1 2\r\n'), /unreadable/],
  ['an IPv4 address as TCP6', latin('PROXY TCP6 2001:db8::1 198.51.100.1 1 2\r\n'), /unreadable/],
  ['an address with a zone', latin('PROXY TCP6 fe80::1%eth0 2001:db8::2 1 2\r\n'), /unreadable/],
  ['a bad address', latin('PROXY TCP4 192.0.2.999 198.51.100.1 1 2\r\n'), /unreadable/],
  ['a port too high', latin('PROXY TCP4 192.0.2.1 198.51.100.1 65536 2\r\n'), /unreadable/],
  ['a port with zeros in front', latin('PROXY TCP4 192.0.2.1 198.51.100.1 080 2\r\n'), /unreadable/],
  ['two spaces', latin('PROXY TCP4  192.0.2.1 198.51.100.1 1 2\r\n'), /unreadable/],
  ['a word too many', latin('PROXY TCP4 192.0.2.1 198.51.100.1 1 2 3\r\n'), /unreadable/],
  ['a word too few', latin('PROXY TCP4 192.0.2.1 198.51.100.1 1\r\n'), /unreadable/],
  ['a bare LF', latin('PROXY TCP4 192.0.2.1 198.51.100.1 1 2\n'), /without CRLF/],
  ['a line without end', latin(`PROXY UNKNOWN ${'f'.repeat(93)}`), /too long/],
  ['version 3', v2(0x31, 0x11, V4_BLOCK), /version or command/],
  ['an unknown command', v2(0x22, 0x11, V4_BLOCK), /version or command/],
  ['datagrams', v2(0x21, 0x12, V4_BLOCK), /not a stream/],
  ['an unknown family', v2(0x21, 0x41, V4_BLOCK), /not a stream/],
  ['addresses cut short', v2(0x21, 0x21, V4_BLOCK), /too short/],
  ['a header too long', v2(0x21, 0x11, V4_BLOCK, PROXY_HEADER_BYTES_MAX - 15), /too long/],
  ['half a TLV', v2(0x21, 0x11, Buffer.concat([V4_BLOCK, Buffer.of(4, 0)])), /TLV cut short/],
  ['a TLV that runs over', v2(0x21, 0x11, Buffer.concat([V4_BLOCK, Buffer.of(4, 0, 9, 1)])), /TLV runs over/],
  ['a checksum of three bytes', v2(0x21, 0x11, Buffer.concat([V4_BLOCK, tlv(3, Buffer.alloc(3))])), /checksum of a wrong length/],
  ['a wrong checksum', v2(0x21, 0x11, Buffer.concat([V4_BLOCK, tlv(3, Buffer.alloc(4))])), /checksum is wrong/],
  ['a damaged address', damaged, /checksum is wrong/],
]

/** Feeds the bytes in pieces until there is a verdict; `consumed` counts over all pieces. */
function feed(bytes: Buffer, cut: (rest: number) => number): { step: ProxyStep; consumed: number } {
  const decoder = new ProxyDecoder()
  for (let at = 0; at < bytes.length;) {
    const length = Math.min(cut(bytes.length - at), bytes.length - at)
    const step = decoder.ingest(bytes, at, at + length)
    if (step.kind !== 'more') return { step, consumed: step.kind === 'done' ? step.next : -1 }
    at += length
  }
  return { step: { kind: 'more' }, consumed: -1 }
}

const random = new Prng(42)
const CUTS: readonly ((rest: number) => number)[] = [
  (rest) => rest,
  () => 1,
  ...Array.from({ length: 30 }, () => () => 1 + random.below(20)),
]

for (const [name, bytes, want] of GOOD) {
  test(`a header is read: version ${name}`, () => {
    const stream = Buffer.concat([bytes, latin('EHLO client.example\r\n')])
    for (const cut of CUTS) {
      const { step, consumed } = feed(stream, cut)
      assert.deepEqual(step.kind === 'done' && step.header, want)
      assert.equal(consumed, bytes.length, 'what follows the header is left alone')
    }
    for (let length = 0; length < bytes.length; length++) assert.equal(feed(bytes.subarray(0, length), () => 16).step.kind, 'more')
  })
}

for (const [name, bytes, reason] of BAD) {
  test(`a header is refused: ${name}`, () => {
    for (const cut of CUTS) {
      const { step } = feed(bytes, cut)
      assert.equal(step.kind, 'invalid')
      assert.match(step.kind === 'invalid' ? step.reason : '', reason)
    }
  })
}

test('the checksum is CRC32c', () => {
  // 0xe3069283 is the check value of CRC-32C for "123456789"; the encoder must agree with the bitwise definition.
  const known = Buffer.from('0d0a0d0a000d0a515549540a21110013c0000201c6336401dc040019030004', 'hex')
  assert.deepEqual(encodeProxyV2(V4).subarray(0, known.length), known)
  assert.equal(crc32c(latin('123456789')), 0xe3069283)
  const bytes = Buffer.from(encodeProxyV2(V4))
  const sum = bytes.readUInt32BE(bytes.length - 4)
  bytes.writeUInt32BE(0, bytes.length - 4)
  assert.equal(sum, crc32c(bytes))
})

/** Bit by bit, as the definition says. */
function crc32c(bytes: Buffer): number {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0)
  }
  return ~crc >>> 0
}

test('version 1 and 2 encoders make what the decoder reads', () => {
  for (const header of [V4, V6, UNKNOWN]) {
    for (const bytes of [encodeProxyV1(header), encodeProxyV2(header)]) {
      const { step } = feed(bytes, () => 1000)
      assert.deepEqual(step.kind === 'done' && step.header, header)
    }
  }
})

test('no bytes make the decoder throw or wait beyond its bound', () => {
  const start = fc.constantFrom(
    latin(''),
    latin('PROXY '),
    latin('PROXY TCP4 '),
    latin('\r\n\r\n\0\r\nQUIT\n'),
    latin('\r\n\r\n\0\r\nQUIT\n\x21\x11'),
  )
  fc.assert(
    fc.property(start, fc.uint8Array({ maxLength: 300 }), fc.integer({ min: 1, max: 50 }), (head, tail, size) => {
      const bytes = Buffer.concat([head, Buffer.from(tail)])
      const whole = feed(bytes, (rest) => rest)
      const pieces = feed(bytes, () => size)
      assert.deepEqual(whole.step, pieces.step)
      const endless = feed(Buffer.concat([bytes, Buffer.alloc(PROXY_HEADER_BYTES_MAX, 0x61)]), () => 500)
      assert.notEqual(endless.step.kind, 'more')
    }),
    { numRuns: 2000 },
  )
})
