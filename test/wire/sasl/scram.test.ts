import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decodeGs2, encodeGs2 } from '../../../src/wire/sasl/gs2.ts'
import { authMessage, clientProof, isProof, saltedPassword, scramKeys, serverSignature } from '../../../src/wire/sasl/scram-keys.ts'
import {
  SCRAM_MESSAGE_BYTES_MAX,
  decodeClientFinal,
  decodeClientFirst,
  decodeServerFinal,
  decodeServerFirst,
  encodeClientFinal,
  encodeClientFinalWithoutProof,
  encodeClientFirst,
  encodeServerFinal,
  encodeServerFirst,
  type HashName,
} from '../../../src/wire/sasl/scram.ts'
import { runSeed } from '../../support/seed.ts'

interface Dialogue {
  readonly source: string
  readonly hash: HashName
  readonly clientFirst: string
  readonly serverFirst: string
  readonly clientFinal: string
  readonly serverFinal: string
}

const DIALOGUES: readonly Dialogue[] = [
  {
    source: 'RFC 5802 §5',
    hash: 'sha1',
    clientFirst: 'n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL',
    serverFirst: 'r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096',
    clientFinal: 'c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=',
    serverFinal: 'v=rmF9pqV8S7suAoZWja4dJRkFsKQ=',
  },
  {
    source: 'RFC 7677 §3',
    hash: 'sha256',
    clientFirst: 'n,,n=user,r=rOprNGfwEbeRWgbNEkqO',
    serverFirst: 'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096',
    clientFinal: 'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
    serverFinal: 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
  },
]

for (const { source, hash, clientFirst, serverFirst, clientFinal, serverFinal } of DIALOGUES) {
  test(`${source}: both sides compute what the text says`, () => {
    const first = decodeClientFirst(Buffer.from(clientFirst))
    const server = decodeServerFirst(Buffer.from(serverFirst))
    const final = decodeClientFinal(Buffer.from(clientFinal))
    assert.ok(first && server && final)
    assert.equal(first.name, 'user')
    assert.equal(encodeServerFirst(server), serverFirst)
    const salted = saltedPassword(hash, 'pencil', server.salt, server.iterations)
    const keys = scramKeys(hash, salted)
    const message = authMessage(first.bare, serverFirst, final.withoutProof)
    assert.deepEqual(clientProof(hash, salted, message), final.proof)
    assert.equal(isProof(hash, keys.storedKey, message, final.proof), true)
    assert.equal(isProof(hash, keys.storedKey, `${message} `, final.proof), false)
    assert.equal(isProof(hash, keys.storedKey, message, final.proof.subarray(1)), false)
    assert.equal(encodeServerFinal(serverSignature(hash, keys.serverKey, message)).toString(), serverFinal)
  })

  test(`${source}: a client's encoders make the same messages`, () => {
    const nonce = decodeClientFirst(Buffer.from(clientFirst))?.nonce ?? ''
    const first = encodeClientFirst({ flag: 'n', binding: '', authzid: '' }, 'user', nonce)
    assert.equal(first.message.toString(), clientFirst)
    assert.equal(first.header + first.bare, clientFirst)
    const { proof, nonce: whole } = decodeClientFinal(Buffer.from(clientFinal)) ?? assert.fail('a final message')
    const withoutProof = encodeClientFinalWithoutProof(Buffer.from(first.header), whole)
    assert.equal(encodeClientFinal(withoutProof, proof).toString(), clientFinal)
    assert.deepEqual(decodeServerFinal(Buffer.from(serverFinal))?.kind, 'signature')
  })
}

const FIRST_ACCEPTED: readonly (readonly [string, string, object])[] = [
  [
    'a binding',
    'p=tls-exporter,,n=user,r=abc',
    { gs2: { flag: 'p', binding: 'tls-exporter', authzid: '', length: 16 }, header: 'p=tls-exporter,,' },
  ],
  ['an authzid', 'y,a=anna=2Cb=3D,n=user,r=abc', { gs2: { flag: 'y', binding: '', authzid: 'anna,b=', length: 16 } }],
  ['a quoted name', 'n,,n=a=2Cb=3Dc,r=abc', { name: 'a,b=c', bare: 'n=a=2Cb=3Dc,r=abc' }],
  ['an optional extension', 'n,,n=user,r=abc,x=1=2', { nonce: 'abc', bare: 'n=user,r=abc,x=1=2' }],
  ['a name in UTF-8', 'n,,n=jörg,r=abc', { name: 'jörg' }],
]

for (const [what, text, expected] of FIRST_ACCEPTED) {
  test(`client-first with ${what}`, () => {
    const first = decodeClientFirst(Buffer.from(text)) ?? assert.fail('refused')
    for (const [key, value] of Object.entries(expected)) assert.deepEqual(first[key as keyof typeof first], value, key)
  })
}

const FIRST_REFUSED: readonly string[] = [
  '',
  'n',
  'n,',
  'n,,',
  'n,,n=user',
  'n,,r=abc,n=user',
  'n,,n=,r=abc',
  'n,,n=user,r=',
  'n,,n=user,r=a b',
  'n,,n=user,r=ä',
  'n,,n=us=er,r=abc',
  'n,,n=us=2cer,r=abc',
  'n,,m=ext,n=user,r=abc',
  'n,,n=user,r=abc,m=1',
  'n,,n=user,r=abc,1=1',
  'n,,n=user,r=abc,x',
  'n,,n=user,r=abc,',
  'x,,n=user,r=abc',
  'N,,n=user,r=abc',
  'p,,n=user,r=abc',
  'p=,,n=user,r=abc',
  'p=tls unique,,n=user,r=abc',
  'n,b=x,n=user,r=abc',
  'n,a=,n=user,r=abc',
  'n,a=x=,n=user,r=abc',
  'n,,n=us\0er,r=abc',
  `n,,n=${'u'.repeat(SCRAM_MESSAGE_BYTES_MAX)},r=abc`,
]

for (const text of FIRST_REFUSED) {
  test(`client-first is refused: ${JSON.stringify(text.slice(0, 40))}`, () => {
    assert.equal(decodeClientFirst(Buffer.from(text)), undefined)
  })
}

const FINAL_REFUSED: readonly string[] = [
  '',
  'c=biws',
  'c=biws,r=abc',
  'c=biws,p=AAAA',
  'r=abc,c=biws,p=AAAA',
  'c=,r=abc,p=AAAA',
  'c=biw,r=abc,p=AAAA',
  'c=biws,r=,p=AAAA',
  'c=biws,r=abc,p=',
  'c=biws,r=abc,p=AAA',
  'c=biws,r=abc,p=AAAA,x=1',
  'c=biws,r=abc,m=1,p=AAAA',
  'm=1,c=biws,r=abc,p=AAAA',
]

for (const text of FINAL_REFUSED) {
  test(`client-final is refused: ${JSON.stringify(text)}`, () => {
    assert.equal(decodeClientFinal(Buffer.from(text)), undefined)
  })
}

test('client-final keeps extensions in what is signed', () => {
  const final = decodeClientFinal(Buffer.from('c=biws,r=abc,x=1,p=AAAA')) ?? assert.fail('refused')
  assert.equal(final.withoutProof, 'c=biws,r=abc,x=1')
  assert.deepEqual(final.proof, Buffer.from([0, 0, 0]))
})

test('a client refuses what a server must not say', () => {
  const refused = [
    'r=abc,s=,i=4096',
    'r=abc,s=AAAA,i=0',
    'r=abc,s=AAAA,i=04096',
    'r=abc,s=AAAA,i=9999999999',
    'r=abc,s=AAAA',
    'm=1,r=abc,s=AAAA,i=1',
    'r=,s=AAAA,i=1',
  ]
  for (const text of refused) assert.equal(decodeServerFirst(Buffer.from(text)), undefined, text)
  assert.deepEqual(decodeServerFinal(Buffer.from('e=invalid-proof')), { kind: 'error', error: 'invalid-proof' })
  for (const text of ['', 'e=', 'v=', 'v=AAA', 'x=AAAA', 'v=AAAA,m=1']) assert.equal(decodeServerFinal(Buffer.from(text)), undefined, text)
})

test('GS2 headers survive encoding and decoding', () => {
  const authzid = fc.string({ unit: 'grapheme', maxLength: 30 }).filter((text) => !text.includes('\0'))
  fc.assert(
    fc.property(fc.constantFrom('n', 'y', 'p'), authzid, (flag, name) => {
      const header = { flag, binding: flag === 'p' ? 'tls-unique' : '', authzid: name } as const
      const text = encodeGs2(header)
      assert.deepEqual(decodeGs2(`${text}rest`), { ...header, length: text.length })
    }),
    { seed: runSeed() },
  )
})

test('no bytes make the decoders throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      for (const decode of [decodeClientFirst, decodeClientFinal, decodeServerFirst, decodeServerFinal]) decode(Buffer.from(bytes))
    }),
    { seed: runSeed(), numRuns: 2000 },
  )
})
