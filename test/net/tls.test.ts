import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer, connect } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { connect as connectTls, TLSSocket } from 'node:tls'
import type { ConnectionOptions, TLSSocketOptions } from 'node:tls'
import type { TlsConfig } from '../../src/config/schema.ts'
import { clientVerified } from '../../src/net/tls-context.ts'
import { ensureSelfSigned, makeSelfSigned, selfSignedFiles } from '../../src/net/tls-self-signed.ts'
import { checkCertificates, ensureCertificate, ServerTls, TlsError } from '../../src/net/tls.ts'
import type { TlsSettings } from '../../src/net/tls.ts'
import { makeLog } from '../../src/lib/log.ts'
import { TempFolder } from '../support/process.ts'
import { caPath, caPem, clientTls, otherTls, peerTls, serverTls } from '../support/tls.ts'

const NOW = Date.now()
const DAY_MS = 86_400_000
const TICKET_KEYS = Buffer.alloc(48, 7)

function settings(dataDir: string, tls: Partial<TlsConfig> = {}): TlsSettings {
  return { dataDir, hostname: 'mx.example.org', tls: { files: undefined, names: [], minVersion: 'TLSv1.2', clientCa: undefined, ...tls } }
}

/** A server-side handshake on a loopback connection, as STARTTLS makes it, and what both sides saw. */
async function handshake(server: TLSSocketOptions, client: ConnectionOptions = {}): Promise<Handshake> {
  const listener = createServer()
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const raw = connect((listener.address() as AddressInfo).port, '127.0.0.1')
  const [accepted] = (await once(listener, 'connection')) as [Socket]
  const serverSide = new TLSSocket(accepted, { ...server, isServer: true })
  const clientSide = connectTls({ rejectUnauthorized: false, ...client, socket: raw })
  const ticket = once(clientSide, 'session')
  const failed = new Promise<never>((_, reject) => [serverSide, clientSide].forEach((side) => side.once('error', reject)))
  failed.catch(() => undefined)
  try {
    await Promise.race([Promise.all([once(serverSide, 'secure'), once(clientSide, 'secureConnect')]), failed])
    serverSide.write('hello')
    await Promise.race([once(clientSide, 'data'), failed])
    // A resumed session need not bring a new ticket.
    const [session] = clientSide.isSessionReused() ? [undefined] : ((await ticket) as [Buffer])
    return {
      certificate: clientSide.getPeerX509Certificate() as X509Certificate,
      protocol: clientSide.getProtocol() ?? '',
      reused: clientSide.isSessionReused(),
      verified: clientVerified(serverSide),
      session,
    }
  } finally {
    serverSide.on('error', () => undefined)
    clientSide.on('error', () => undefined)
    serverSide.destroy()
    clientSide.destroy()
    raw.destroy()
    listener.close()
  }
}

interface Handshake {
  readonly certificate: X509Certificate
  readonly protocol: string
  readonly reused: boolean
  readonly verified: boolean
  readonly session: Buffer | undefined
}

/** Log lines as objects. */
function recorder(): { lines: { level: number; msg: string }[]; log: ReturnType<typeof makeLog> } {
  const lines: { level: number; msg: string }[] = []
  const log = makeLog('test', { level: 'info' }, { write: (line) => lines.push(JSON.parse(line) as { level: number; msg: string }) })
  return { lines, log }
}

test('the first start makes a certificate for the host and loopback, and the next one keeps it', async () => {
  using folder = new TempFolder('tls')
  const { lines, log } = recorder()
  await ensureCertificate(settings(folder.path), log, NOW)
  const files = selfSignedFiles(folder.path)
  assert.equal(statSync(files.key).mode & 0o777, 0o600)
  const certificate = new X509Certificate(readFileSync(files.cert))
  assert.equal(certificate.subjectAltName, 'DNS:mx.example.org, DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1')
  assert.equal(certificate.publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1')
  assert.equal(certificate.ca, false)
  assert.ok(certificate.validToDate.getTime() > NOW + 700 * DAY_MS)
  assert.deepEqual(
    lines.map(({ msg }) => msg),
    ['self-signed certificate made'],
  )
  await ensureCertificate(settings(folder.path), log, NOW + DAY_MS)
  assert.equal(new X509Certificate(readFileSync(files.cert)).fingerprint256, certificate.fingerprint256)
  assert.equal(lines.length, 1)
})

test('the self-signed certificate is made anew when it is old, damaged, without its key or for another name', async () => {
  using folder = new TempFolder('tls')
  const files = selfSignedFiles(folder.path)
  const made = (hostname = 'mx.example.org', now = NOW): Promise<boolean> => ensureSelfSigned(files, hostname, now)
  assert.equal(await made(), true)
  assert.equal(await made(), false)
  assert.equal(await made('mx.example.org', NOW + 701 * DAY_MS), true)
  assert.equal(await made('mx.example.net'), true)
  writeFileSync(files.cert, 'garbage')
  assert.equal(await made('mx.example.net'), true)
  writeFileSync(files.key, (await makeSelfSigned('mx.example.net', NOW)).key)
  assert.equal(await made('mx.example.net'), true)
})

test('a directory that cannot be written to is said so', async () => {
  using folder = new TempFolder('tls')
  writeFileSync(join(folder.path, 'tls'), 'a file where the directory should be')
  await assert.rejects(ensureCertificate(settings(folder.path), recorder().log, NOW), (error) => {
    assert.ok(error instanceof TlsError)
    return error.message.startsWith('cannot write the self-signed certificate: ')
  })
})

test('a handshake on loopback is TLS 1.3 with the self-signed certificate, whose name and addresses check', async () => {
  using folder = new TempFolder('tls')
  await ensureCertificate(settings(folder.path), recorder().log, NOW)
  const tls = await ServerTls.load(settings(folder.path), TICKET_KEYS)
  const ca = readFileSync(selfSignedFiles(folder.path).cert)
  const seen = await handshake(tls.options(), { ca, rejectUnauthorized: true, servername: 'localhost' })
  assert.equal(seen.protocol, 'TLSv1.3')
  assert.equal(seen.verified, false)
})

test('the name that a client asks for picks the certificate, and an unknown one gets the default', async () => {
  using folder = new TempFolder('tls')
  const names = [
    { names: ['peer.rohrpost.test'], cert: peerTls.cert, key: peerTls.key },
    { names: ['*.name.test'], cert: otherTls.cert, key: otherTls.key },
  ]
  const tls = await ServerTls.load(settings(folder.path, { files: serverTls, names }), TICKET_KEYS)
  const fingerprint = (pem: string): string => new X509Certificate(pem).fingerprint256
  const rows: [servername: string, pem: string][] = [
    ['peer.rohrpost.test', peerTls.certPem],
    ['PEER.rohrpost.test', peerTls.certPem],
    ['wrong.name.test', otherTls.certPem],
    ['name.test', serverTls.certPem],
    ['a.wrong.name.test', serverTls.certPem],
    ['mx.rohrpost.test', serverTls.certPem],
    ['', serverTls.certPem],
  ]
  for (const [servername, pem] of rows) {
    const seen = await handshake(tls.options(), servername === '' ? {} : { servername })
    assert.equal(seen.certificate.fingerprint256, fingerprint(pem), servername)
  }
})

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`a ${version} session of one thread resumes in another that shares the ticket keys`, async () => {
    using folder = new TempFolder('tls')
    const config = settings(folder.path, { files: serverTls })
    const [one, two, stranger] = [
      await ServerTls.load(config, TICKET_KEYS),
      await ServerTls.load(config, TICKET_KEYS),
      await ServerTls.load(config, Buffer.alloc(48, 8)),
    ]
    const client = { maxVersion: version, minVersion: version, servername: 'mx.rohrpost.test' } as const
    const first = await handshake(one.options(), client)
    assert.equal(first.protocol, version)
    assert.equal(first.reused, false)
    assert.equal((await handshake(two.options(), { ...client, session: first.session as Buffer })).reused, true)
    assert.equal((await handshake(stranger.options(), { ...client, session: first.session as Buffer })).reused, false)
  })
}

test('TLS 1.1 is refused, and TLS 1.2 where the configuration says so', async () => {
  using folder = new TempFolder('tls')
  const tls = await ServerTls.load(settings(folder.path, { files: serverTls }), TICKET_KEYS)
  const old = { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const
  await assert.rejects(handshake(tls.options(), old), { code: /ERR_SSL_(UNSUPPORTED_PROTOCOL|TLSV1_ALERT_PROTOCOL_VERSION)/ })
  const strict = await ServerTls.load(settings(folder.path, { files: serverTls, minVersion: 'TLSv1.3' }), TICKET_KEYS)
  await assert.rejects(handshake(strict.options(), { maxVersion: 'TLSv1.2' }), {
    code: /ERR_SSL_(UNSUPPORTED_PROTOCOL|TLSV1_ALERT_PROTOCOL_VERSION)/,
  })
})

test('a browser that somebody has led here by our certificate gets no session', async () => {
  using folder = new TempFolder('tls')
  const tls = await ServerTls.load(settings(folder.path, { files: serverTls }), TICKET_KEYS)
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    await assert.rejects(handshake(tls.options(), { maxVersion, ALPNProtocols: ['h2', 'http/1.1'] }), {
      code: /ERR_SSL_(?:TLSV1_ALERT_)?NO_APPLICATION_PROTOCOL/,
    })
    for (const ALPNProtocols of [[], ['smtp'], ['x', 'esmtp']])
      assert.equal((await handshake(tls.options(), { maxVersion, ALPNProtocols })).protocol, maxVersion)
  }
})

test('a client certificate counts only when clientCa vouches for it', async () => {
  using folder = new TempFolder('tls')
  const tls = await ServerTls.load(settings(folder.path, { files: serverTls, clientCa: caPath }), TICKET_KEYS)
  const own = await makeSelfSigned('anna.example.org', NOW)
  const verified = async (client: ConnectionOptions): Promise<boolean> => (await handshake(tls.options(), client)).verified
  assert.equal(await verified({ cert: clientTls.certPem, key: clientTls.keyPem }), true)
  assert.equal(await verified({ cert: own.cert, key: own.key }), false)
  assert.equal(await verified({}), false)
})

test('a resumed session is as verified as the first one was', async () => {
  using folder = new TempFolder('tls')
  const tls = await ServerTls.load(settings(folder.path, { files: serverTls, clientCa: caPath }), TICKET_KEYS)
  const rows: [ConnectionOptions, boolean][] = [
    [{}, false],
    [{ cert: clientTls.certPem, key: clientTls.keyPem }, true],
  ]
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    for (const [certificate, verified] of rows) {
      const client = { ...certificate, maxVersion: version, servername: 'mx.rohrpost.test' }
      const first = await handshake(tls.options(), client)
      const second = await handshake(tls.options(), { ...client, session: first.session as Buffer })
      assert.deepEqual([second.reused, second.verified], [true, verified], version)
    }
  }
})

test('a session of a client whose authority a reload took away is not resumed', async () => {
  using folder = new TempFolder('tls')
  const { cert } = await makeSelfSigned('ca.example.org', NOW)
  const otherCa = join(folder.path, 'other-ca.pem')
  writeFileSync(otherCa, cert)
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const client = { cert: clientTls.certPem, key: clientTls.keyPem, maxVersion: version, servername: 'mx.rohrpost.test' }
    const tls = await ServerTls.load(settings(folder.path, { files: serverTls, clientCa: caPath }), TICKET_KEYS)
    const first = await handshake(tls.options(), client)
    assert.equal(first.verified, true)
    await tls.reload(settings(folder.path, { files: serverTls, clientCa: otherCa }))
    const second = await handshake(tls.options(), { ...client, session: first.session as Buffer })
    assert.deepEqual([second.reused, second.verified], [false, false], version)
  }
})

test('without clientCa no certificate is asked for', async () => {
  using folder = new TempFolder('tls')
  const tls = await ServerTls.load(settings(folder.path, { files: serverTls }), TICKET_KEYS)
  assert.equal(tls.options().requestCert, false)
  assert.equal((await handshake(tls.options(), { cert: clientTls.certPem, key: clientTls.keyPem })).verified, false)
})

test('a reload changes the certificate, and a broken one leaves the old in place', async () => {
  using folder = new TempFolder('tls')
  const tls = await ServerTls.load(settings(folder.path, { files: serverTls }), TICKET_KEYS)
  await tls.reload(settings(folder.path, { files: peerTls }))
  const fingerprint = new X509Certificate(peerTls.certPem).fingerprint256
  assert.equal((await handshake(tls.options())).certificate.fingerprint256, fingerprint)
  await assert.rejects(tls.reload(settings(folder.path, { files: { cert: serverTls.cert, key: peerTls.key } })), TlsError)
  assert.equal((await handshake(tls.options())).certificate.fingerprint256, fingerprint)
})

test('files that cannot be used are named', async () => {
  using folder = new TempFolder('tls')
  const at = (name: string): string => join(folder.path, name)
  writeFileSync(at('garbage.pem'), 'garbage')
  const encrypted = 'encrypted.pem'
  const { generateKeyPairSync } = await import('node:crypto')
  const { privateKey } = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' },
  })
  writeFileSync(at(encrypted), privateKey)
  const rows: [tls: Partial<TlsConfig>, said: RegExp][] = [
    [{ files: { cert: at('none.pem'), key: serverTls.key } }, /^cannot read .*none\.pem: ENOENT$/],
    [{ files: { cert: serverTls.cert, key: at('none.pem') } }, /^cannot read .*none\.pem: ENOENT$/],
    [{ files: { cert: at('garbage.pem'), key: serverTls.key } }, /garbage\.pem holds no PEM certificate/],
    [{ files: { cert: serverTls.cert, key: at('garbage.pem') } }, /garbage\.pem holds no PEM private key/],
    [{ files: { cert: serverTls.cert, key: at(encrypted) } }, /encrypted\.pem holds no PEM private key without a passphrase/],
    [{ files: { cert: serverTls.cert, key: peerTls.key } }, /peer\.key\.pem is not the key of .*server\.pem$/],
    [{ files: serverTls, clientCa: at('garbage.pem') }, /garbage\.pem holds no PEM certificate/],
    [{ files: serverTls, names: [{ names: ['a.example'], cert: at('none.pem'), key: at('none.pem') }] }, /none\.pem: ENOENT$/],
  ]
  for (const [tls, said] of rows) {
    await assert.rejects(
      ServerTls.load(settings(folder.path, tls), TICKET_KEYS),
      (error) => error instanceof TlsError && said.test(error.message),
    )
  }
})

test('certificates that are about to expire, expired or not yet valid are warned of', async () => {
  using folder = new TempFolder('tls')
  const pair = await makeSelfSigned('mx.example.org', NOW)
  const files = { cert: join(folder.path, 'cert.pem'), key: join(folder.path, 'key.pem') }
  writeFileSync(files.cert, pair.cert)
  writeFileSync(files.key, pair.key)
  const warnings = (days: number): Promise<string[]> => checkCertificates(settings(folder.path, { files }), NOW + days * DAY_MS)
  assert.deepEqual(await warnings(0), [])
  assert.deepEqual(await warnings(715), [])
  assert.match((await warnings(717))[0] ?? '', /^certificate CN=mx\.example\.org expires /)
  assert.match((await warnings(731))[0] ?? '', /^certificate CN=mx\.example\.org expired /)
  assert.match((await warnings(-1))[0] ?? '', /^certificate CN=mx\.example\.org is not valid before /)
})

test('checking writes nothing', async () => {
  using folder = new TempFolder('tls')
  const dataDir = join(folder.path, 'data')
  mkdirSync(dataDir)
  chmodSync(dataDir, 0o500)
  assert.deepEqual(await checkCertificates(settings(dataDir), NOW), [])
  assert.throws(() => statSync(join(dataDir, 'tls')), { code: 'ENOENT' })
  chmodSync(dataDir, 0o700)
})

test('the authority of the tests is one', () => {
  assert.equal(new X509Certificate(caPem).ca, true)
})
