import assert from 'node:assert/strict'
import { test } from 'node:test'
import { envelopeRow } from '../../src/admin/queue-rows.ts'
import { idToText, messageId } from '../../src/spool/ids.ts'
import { EnvelopeFlag, QueueClass, type Envelope } from '../../src/spool/types.ts'

const ENVELOPE: Envelope = {
  id: messageId(1, 5),
  sender: 'a@example.org',
  acceptedAt: Date.UTC(2026, 10, 24),
  flags: EnvelopeFlag.dots | EnvelopeFlag.smtputf8,
  bytes: 12,
  envid: '',
  tenant: 'shop',
  account: '',
  client: '192.0.2.1',
  priority: 0,
  deliverBy: 0,
}

test('an envelope names its flags, and says nothing of what was not asked for', () => {
  assert.deepEqual(envelopeRow(ENVELOPE), {
    id: idToText(messageId(1, 5)),
    acceptedAt: '2026-11-24T00:00:00.000Z',
    sender: 'a@example.org',
    bytes: 12,
    envid: '',
    tenant: 'shop',
    account: '',
    client: '192.0.2.1',
    priority: 0,
    flags: ['dots', 'smtputf8'],
  })
})

test('an envelope with a time to keep says it as a time', () => {
  const time = Date.UTC(2026, 10, 25)
  const row = envelopeRow({ ...ENVELOPE, deliverBy: time, releaseAt: time, holdForSeconds: 60, class: QueueClass.transactional })
  assert.deepEqual(Object.entries(row).slice(-5), [
    ['holdForSeconds', 60],
    ['flags', ['dots', 'smtputf8']],
    ['class', 'transactional'],
    ['deliverBy', '2026-11-25T00:00:00.000Z'],
    ['releaseAt', '2026-11-25T00:00:00.000Z'],
  ])
})
