import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import fc from 'fast-check'
import { QuotaLedger, makeQuotaMemory, type QuotaUse } from '../../../src/session/auth/quota.ts'
import { runSeed } from '../../support/seed.ts'

const START = 1_700_000_000_000
const MINUTE = 60_000
const QUOTA = { messagesPerHour: 3, recipientsPerHour: 10 }
const one = (recipients: number): QuotaUse => ({ messages: 1, recipients })

test('messages and recipients are counted, all or nothing', () => {
  const ledger = new QuotaLedger(makeQuotaMemory(64))
  assert.ok(ledger.take('anna', QUOTA, one(4), START))
  assert.equal(ledger.take('anna', QUOTA, one(7), START), false)
  assert.deepEqual(ledger.use('anna', START), { messages: 1, recipients: 4 })
  assert.ok(ledger.take('anna', QUOTA, one(6), START))
  assert.ok(ledger.take('anna', QUOTA, one(0), START))
  assert.equal(ledger.take('anna', QUOTA, one(0), START), false)
  assert.ok(ledger.take('bert', QUOTA, one(1), START), 'each account has its own')
  assert.deepEqual(ledger.use('carl', START), { messages: 0, recipients: 0 })
})

test('zero is no limit, and counts nothing', () => {
  const ledger = new QuotaLedger(makeQuotaMemory(64))
  assert.equal(ledger.take('anna', { messagesPerHour: 0, recipientsPerHour: 0 }, one(1000), START), true)
  assert.deepEqual(ledger.use('anna', START), { messages: 0, recipients: 0 })
  const recipientsOnly = { messagesPerHour: 0, recipientsPerHour: 5 }
  for (let i = 0; i < 5; i++) assert.ok(ledger.take('anna', recipientsOnly, one(1), START))
  assert.equal(ledger.take('anna', recipientsOnly, one(1), START), false)
})

test('what was used comes back after an hour, 65 minutes at the latest', () => {
  const ledger = new QuotaLedger(makeQuotaMemory(64))
  for (let i = 0; i < 3; i++) ledger.take('anna', QUOTA, one(0), START)
  assert.equal(ledger.take('anna', QUOTA, one(0), START + 59 * MINUTE), false)
  assert.ok(ledger.take('anna', QUOTA, one(0), START + 65 * MINUTE))
})

test('in no window of an hour more than the limit is taken, whatever the times', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(20 * MINUTE), { maxLength: 100 }), (gaps) => {
      const ledger = new QuotaLedger(makeQuotaMemory(64))
      const taken: number[] = []
      let now = START
      for (const gap of gaps) {
        now += gap
        if (ledger.take('anna', QUOTA, one(0), now)) taken.push(now)
      }
      for (const [i, at] of taken.entries()) {
        const later = taken[i + QUOTA.messagesPerHour]
        assert.ok(later === undefined || later - at >= 60 * MINUTE, `${taken.join()}`)
      }
    }),
    { seed: runSeed() },
  )
})

test('a full ledger refuses newcomers until somebody has been quiet for an hour', () => {
  const ledger = new QuotaLedger(makeQuotaMemory(16))
  for (let i = 0; i < 16; i++) assert.ok(ledger.take(`user${i}`, QUOTA, one(1), START))
  assert.equal(ledger.take('newcomer', QUOTA, one(1), START), false)
  assert.deepEqual(ledger.use('user7', START), { messages: 1, recipients: 1 })
  assert.ok(ledger.take('newcomer', QUOTA, one(1), START + 65 * MINUTE))
})

test('four threads that take at once share one limit exactly', async () => {
  const memory = makeQuotaMemory(64)
  const quota = { messagesPerHour: 1000, recipientsPerHour: 0 }
  const ledgerUrl = new URL('../../../src/session/auth/quota.ts', import.meta.url).href
  const code = `
    const { workerData, parentPort } = require('node:worker_threads')
    import(workerData.ledgerUrl).then(({ QuotaLedger }) => {
      const ledger = new QuotaLedger(workerData.memory)
      let taken = 0
      for (let i = 0; i < 600; i++) if (ledger.take('anna', workerData.quota, { messages: 1, recipients: 0 }, ${START})) taken++
      parentPort.postMessage(taken)
    })`
  const counts = await Promise.all(
    Array.from({ length: 4 }, () => {
      const worker = new Worker(code, { eval: true, workerData: { memory, quota, ledgerUrl } })
      return new Promise<number>((resolve, reject) => worker.once('message', resolve).once('error', reject))
    }),
  )
  const sum = counts.reduce((a, b) => a + b, 0)
  // Two that race for the last one may both be refused, so the sum may stay below, but never above.
  assert.ok(sum <= 1000 && sum >= 990, `${counts.join(' + ')} = ${sum}`)
  assert.equal(new QuotaLedger(memory).use('anna', START).messages, sum)
})
