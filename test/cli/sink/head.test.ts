import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fieldValue, headerFields, queueId } from '../../../src/cli/sink/head.ts'

test('fields are unfolded, in order, up to the empty line', () => {
  const fields = headerFields(Buffer.from('Subject: a\r\n\tb\r\nX-Empty:\r\nno field\r\nFrom: ä\r\n\r\nSubject: body\r\n'))
  assert.deepEqual(fields, [
    ['Subject', 'a\tb'],
    ['X-Empty', ''],
    ['From', 'ä'],
  ])
  assert.equal(fieldValue(fields, 'subject'), 'a\tb')
  assert.equal(fieldValue(fields, 'to'), '')
})

test('the queue id is that of the topmost Received field', () => {
  const rows: [received: string, id: string][] = [
    ['Received: from a (b [192.0.2.1]) by c with ESMTP id 00abc for <d@e>; Tue, 24 Nov 2026 06:50:00 +0000', '00abc'],
    ['Received: from a by c with ESMTPS id <00abc>;\r\n date', '00abc'],
    ['Received: from a (id no) by c\r\n\tid 00abc; date\r\nReceived: from x by y id old; date', '00abc'],
    ['Received: from a by c; date', ''],
    ['Subject: id x', ''],
  ]
  for (const [received, id] of rows) assert.equal(queueId(headerFields(Buffer.from(`${received}\r\n\r\n`))), id, received)
})

test('a header without its empty line is read as far as it goes', () => {
  assert.deepEqual(headerFields(Buffer.from('Subject: a\r\nFrom: b')), [
    ['Subject', 'a'],
    ['From', 'b'],
  ])
  assert.deepEqual(headerFields(Buffer.alloc(0)), [])
})
