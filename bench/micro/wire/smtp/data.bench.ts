// DataDecoder and DataEncoder over messages that arrive in 64 KiB chunks, in ns a byte.
//
//   node bench/micro/wire/smtp/data.bench.ts

import { performance } from 'node:perf_hooks'
import { DataDecoder, DataEncoder } from '../../../../src/wire/smtp/data.ts'
import type { ContentSink } from '../../../../src/wire/smtp/data.ts'

const CHUNK_BYTES = 64 * 1024
const ROUNDS = 120

class Counter implements ContentSink {
  bytes = 0
  content(_buf: Buffer, start: number, end: number): void {
    this.bytes += end - start
  }
}

const LINE = 'The quick brown fox jumps over the lazy dog, again and again and again ....\r\n'

function text(bytes: number): string {
  return LINE.repeat(Math.ceil(bytes / LINE.length))
}

const CASES: readonly (readonly [name: string, content: string])[] = [
  ['4 KB', text(4096)],
  ['100 KB', text(102_400)],
  ['4 KB, base64 lines', `${'QUJD'.repeat(19)}\r\n`.repeat(52)],
  ['4 KB, Latin-1', text(4096).replaceAll('fox', 'f\u00e4\u00fcx')],
  ['4 KB, every line stuffed', text(4096).replaceAll('The', '..e')],
  ['4 KB, bare LF', text(4096).replaceAll('\r\n', '\n')],
  ['4 KB, lines of 2', 'ab\r\n'.repeat(1024)],
]

/** Messages back to back, cut into chunks as a socket gives them. */
function chunksOf(content: string): { readonly chunks: Buffer[]; readonly bytes: number } {
  const one = Buffer.from(`${content}\r\n.\r\n`, 'latin1')
  const count = Math.max(2, Math.ceil((8 * CHUNK_BYTES) / one.length))
  const all = Buffer.concat(Array.from({ length: count }, () => one))
  const chunks: Buffer[] = []
  for (let at = 0; at < all.length; at += CHUNK_BYTES) chunks.push(Buffer.from(all.subarray(at, at + CHUNK_BYTES)))
  return { chunks, bytes: all.length }
}

function decode(decoder: DataDecoder, chunks: readonly Buffer[], sink: ContentSink): void {
  decoder.startData('normalize')
  for (const chunk of chunks) {
    for (let at = 0; at < chunk.length;) {
      at = decoder.decode(chunk, at, chunk.length, sink)
      if (decoder.done) decoder.startData('normalize')
    }
  }
}

function encode(encoder: DataEncoder, chunks: readonly Buffer[], sink: ContentSink): void {
  encoder.start(true)
  for (const chunk of chunks) encoder.encode(chunk, 0, chunk.length, sink)
  encoder.end()
}

function nsPerByte(bytes: number, run: () => void): string {
  for (let i = 0; i < ROUNDS; i++) run()
  const from = performance.now()
  for (let i = 0; i < ROUNDS; i++) run()
  return (((performance.now() - from) * 1e6) / (ROUNDS * bytes)).toFixed(3)
}

for (const [name, content] of CASES) {
  const { chunks, bytes } = chunksOf(content)
  const sink = new Counter()
  const decoder = new DataDecoder()
  const encoder = new DataEncoder()
  const decoding = nsPerByte(bytes, () => decode(decoder, chunks, sink))
  const encoding = nsPerByte(bytes, () => encode(encoder, chunks, sink))
  process.stdout.write(`${name.padEnd(26)} decode ${decoding}  encode ${encoding} ns/byte\n`)
}
