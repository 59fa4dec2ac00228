import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Output } from '../../src/deliver/output.ts'
import { PiecePool } from '../../src/deliver/piece.ts'
import { Writer } from '../../src/deliver/writer.ts'

test('memory of a piece is used again when nobody holds it any more, and not before', () => {
  const pool = new PiecePool()
  const first = pool.take()
  first.hold()
  first.release()
  const second = pool.take()
  assert.notEqual(second.memory, first.memory)
  first.release()
  assert.equal(pool.take().memory, first.memory)
})

test('a range that goes to the socket as it lies holds its piece until the socket has written it; a copied one does not', () => {
  const pool = new PiecePool()
  const written: (() => void)[] = []
  const sink = { write: (_: Buffer, done?: () => void): boolean => (done && written.push(done), true) }
  const writer = new Writer(sink, new Output(), undefined)
  const piece = pool.take()
  writer.bytes(piece.memory, 0, 100_000, piece)
  writer.bytes(piece.memory, 100_000, 100_010, piece)
  writer.bytes(piece.memory, 100_010, 120_000, piece)
  writer.flush()
  piece.release()
  assert.equal(written.length, 2)
  written[0]?.()
  assert.notEqual(pool.take().memory, piece.memory)
  written[1]?.()
  assert.equal(pool.take().memory, piece.memory)
})
