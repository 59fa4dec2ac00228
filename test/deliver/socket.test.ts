// The transport over real sockets: what no peer in memory can show.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { TLSSocket, createSecureContext } from 'node:tls'
import type { SecureVersion } from 'node:tls'
import { after, test } from 'node:test'
import type { TlsResult } from '../../src/deliver/opening.ts'
import type { TlsPolicy } from '../../src/deliver/ports.ts'
import { NetTransport } from '../../src/deliver/socket.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { caPem, otherTls, peerTls, type KeyPair } from '../support/tls.ts'

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())

/** A server that shakes hands at once, counts resumptions, and says a byte: behind it, every ticket has arrived. */
async function shaker(pair: KeyPair, maxVersion: SecureVersion): Promise<{ port: number; resumed: boolean[] }> {
  const resumed: boolean[] = []
  const secureContext = createSecureContext({ cert: pair.certPem, key: pair.keyPem, maxVersion })
  const server: Server = createServer((socket) => {
    const secure = new TLSSocket(socket, { isServer: true, secureContext })
    // The client hangs up as it likes.
    secure.on('error', () => secure.destroy())
    secure.on('secure', () => {
      resumed.push(secure.isSessionReused())
      secure.write('!')
    })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  stack.defer(() => void server.close())
  return { port: (server.address() as AddressInfo).port, resumed }
}

function handshake(transport: NetTransport, port: number, policy: TlsPolicy): Promise<TlsResult> {
  return new Promise((resolve, reject) => {
    let result: TlsResult | undefined
    const socket = transport.connect(
      { address: '127.0.0.1', port, localAddress: undefined },
      {
        connected: () => socket.startTls({ name: 'localhost', port, policy }),
        secured: (tls) => void (result = tls),
        received: () => {
          socket.end()
          resolve(result as TlsResult)
        },
        drained: () => undefined,
        closed: (cause) => reject(new Error(`closed: ${cause}`)),
      },
    )
  })
}

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`a certificate for another name is refused again when its ${version} session could be resumed`, async () => {
    const transport = new NetTransport({ clock: systemClock, tlsSessionsMax: 10, ca: [caPem] })
    const { port, resumed } = await shaker(otherTls, version)
    for (let n = 0; n < 3; n++) assert.match((await handshake(transport, port, 'verify')).certificateError, /does not match/)
    assert.deepEqual(resumed, [false, false, false])
  })

  test(`a ${version} session is resumed where its certificate was accepted, or is not asked about`, async () => {
    const transport = new NetTransport({ clock: systemClock, tlsSessionsMax: 10, ca: [caPem] })
    const good = await shaker(peerTls, version)
    const other = await shaker(otherTls, version)
    for (let n = 0; n < 2; n++) {
      assert.equal((await handshake(transport, good.port, 'verify')).certificateError, '')
      await handshake(transport, other.port, 'required')
    }
    assert.deepEqual(good.resumed, [false, true])
    assert.deepEqual(other.resumed, [false, true])
    await assert.rejects(
      async () => assert.equal((await handshake(transport, other.port, 'verify')).certificateError, ''),
      /does not match/,
    )
  })
}
