// What a reply to EHLO means.

import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { NO_CAPABILITIES, parseCapabilities } from '../../src/deliver/capabilities.ts'
import type { Capabilities } from '../../src/deliver/capabilities.ts'

const ROWS: readonly (readonly [name: string, lines: readonly string[], expected: Partial<Capabilities>])[] = [
  ['nothing', ['mx'], {}],
  ['no lines', [], {}],
  ['the first line is no keyword', ['PIPELINING'], {}],
  ['any case and many blanks', ['mx', 'pipelining', ' DSN ', 'size   1000'], { pipelining: true, dsn: true, size: 1000 }],
  ['SIZE without a number is no limit', ['mx', 'SIZE'], { size: 0 }],
  ['SIZE with nonsense is no limit', ['mx', 'SIZE lots'], { size: 0 }],
  ['BINARYMIME needs CHUNKING', ['mx', 'BINARYMIME'], {}],
  ['BINARYMIME with CHUNKING', ['mx', 'BINARYMIME', 'CHUNKING'], { binaryMime: true, chunking: true }],
  ['SMTPUTF8 means 8BITMIME', ['mx', 'SMTPUTF8'], { smtpUtf8: true, eightBitMime: true }],
  ['mechanisms', ['mx', 'AUTH plain SCRAM-SHA-256'], { auth: ['PLAIN', 'SCRAM-SHA-256'] }],
  ['DELIVERBY with and without a minimum', ['mx', 'DELIVERBY 240'], { deliverBy: 240 }],
  ['DELIVERBY alone', ['mx', 'DELIVERBY'], { deliverBy: 0 }],
  ['limits', ['mx', 'LIMITS MAILMAX=5 RCPTMAX=10 RCPTDOMAINMAX=1'], { mailMax: 5, rcptMax: 10, rcptDomainMax: 1 }],
  ['bad limits are ignored', ['mx', 'LIMITS MAILMAX=0 RCPTMAX=x RCPTDOMAINMAX CORNERS=4 =7'], {}],
  ['unknown keywords are ignored, whatever they are called', ['mx', 'CONSTRUCTOR', '__PROTO__ x', 'XFOO', ''], {}],
]

suite('capabilities', () => {
  for (const [name, lines, expected] of ROWS) {
    test(name, () => assert.deepEqual(parseCapabilities(lines), { ...NO_CAPABILITIES, ...expected }))
  }
})
