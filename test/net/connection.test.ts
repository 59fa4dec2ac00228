import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { connect as tlsConnect, createSecureContext } from 'node:tls'
import { test, type TestContext } from 'node:test'
import { Duplex } from 'node:stream'
import { systemClock } from '../../src/lib/clock.ts'
import { Connection, type ProtocolSession, type TlsInfo, type TlsSource } from '../../src/net/connection.ts'
import { listen } from '../../src/net/listener.ts'
import { generate } from 'selfsigned'

/** A session that takes one line at a time: `wait` stops reading, `tls`, `bye` and `big` do what they say, the rest is echoed. */
class LineSession implements ProtocolSession {
  deadline = Infinity
  secretInput = false
  bodyInput = false
  readonly seen: string[] = []
  readonly #connection: Connection
  #waiting = false

  constructor(connection: Connection) {
    this.#connection = connection
  }
  greet(): void {
    this.#connection.write(Buffer.from('hello\n'))
  }
  ingest(buf: Buffer, start: number, end: number): number {
    let at = start
    while (at < end && !this.#waiting) {
      const newline = buf.indexOf(10, at)
      const line = buf.toString('latin1', at, newline < 0 ? end : newline)
      at = newline < 0 ? end : newline + 1
      this.#act(line)
    }
    return at
  }
  #act(line: string): void {
    this.seen.push(line)
    if (line === 'wait') this.#waiting = true
    else if (line === 'tls') {
      this.#waiting = true
      this.#connection.write(Buffer.from('go\n'))
      this.#connection.startTls()
    } else if (line === 'bye') this.#connection.close()
    else if (line === 'big') this.#connection.write(Buffer.alloc(1_000_000, 0x78))
    else this.#connection.write(Buffer.from(`${line}\n`))
  }
  answer(): void {
    this.#waiting = false
    this.#connection.resume()
  }
  onTls(info: TlsInfo): void {
    this.#waiting = false
    this.seen.push(`secure ${info.protocol}`)
  }
  onTimeout(): void {
    this.#connection.write(Buffer.from('too slow\n'))
    this.#connection.close()
  }
  onEnd(): void {
    this.seen.push('end')
    this.#connection.close()
  }
  drain(): void {
    this.#connection.write(Buffer.from('going\n'))
    this.#connection.close()
  }
}

interface Served {
  readonly client: Socket
  readonly session: LineSession
  readonly connection: Connection
  readonly closed: Promise<void>
}

async function serve(t: TestContext, options: { tls?: TlsSource; implicit?: boolean } = {}): Promise<Served> {
  const accepted = Promise.withResolvers<{ connection: Connection; session: LineSession }>()
  const closed = Promise.withResolvers<void>()
  const { server, bound } = await listen({ host: '127.0.0.1', port: 0 }, (socket) => {
    const connection = new Connection(
      socket,
      { clock: systemClock, tls: options.tls, outputHighWaterBytes: 65_536, tlsHandshakeMsMax: 5000 },
      { closed: () => closed.resolve() },
    )
    const session = new LineSession(connection)
    connection.start(session, options.implicit ?? false)
    accepted.resolve({ connection, session })
  })
  t.after(() => server.close())
  const client = connect(bound.port, '127.0.0.1')
  t.after(() => client.destroy())
  return { client, ...(await accepted.promise), closed: closed.promise }
}

async function tlsSource(): Promise<TlsSource> {
  const pair = await generate([{ name: 'commonName', value: 'localhost' }], { keyType: 'ec' })
  const secureContext = createSecureContext({ cert: pair.cert, key: pair.private })
  return { options: () => ({ secureContext }) }
}

/** Reads until the text so far satisfies `enough`. */
async function read(socket: Socket, enough: (text: string) => boolean): Promise<string> {
  let text = ''
  while (!enough(text)) {
    const [chunk] = (await once(socket, 'data')) as [Buffer]
    text += chunk.toString('latin1')
  }
  return text
}

test('greets, echoes and closes after what is queued was sent', async (t) => {
  const { client, closed } = await serve(t)
  client.write('a\nb\nbye\n')
  assert.equal(await read(client, (text) => text.includes('b\n')), 'hello\na\nb\n')
  client.end()
  await closed
})

test('what a waiting session leaves unread comes again after resume, in order', async (t) => {
  const { client, session } = await serve(t)
  client.write('one\nwait\ntwo\n')
  assert.equal(await read(client, (text) => text.includes('one\n')), 'hello\none\n')
  client.write('three\n')
  assert.deepEqual(session.seen, ['one', 'wait'])
  session.answer()
  assert.equal(await read(client, (text) => text.includes('three\n')), 'two\nthree\n')
})

/** A socket whose peer never takes anything. */
class StuckSocket extends Duplex {
  setNoDelay(): this {
    return this
  }
  override _read(): void {}
  override _write(): void {}
}

test('a client that does not read its replies is not read from', () => {
  const socket = new StuckSocket()
  const options = { clock: systemClock, tls: undefined, outputHighWaterBytes: 65_536, tlsHandshakeMsMax: 5000 }
  const connection = new Connection(socket as unknown as Socket, options, { closed: () => undefined })
  const session = new LineSession(connection)
  connection.start(session, false)
  socket.emit('data', Buffer.from('small\n'))
  assert.equal(socket.isPaused(), false)
  socket.emit('data', Buffer.from('big\n'))
  assert.equal(socket.isPaused(), true)
  // A chunk that was on its way is kept and read when the client has caught up.
  socket.emit('data', Buffer.from('after\n'))
  assert.deepEqual(session.seen, ['small', 'big'])
  socket.emit('drain')
  assert.deepEqual(session.seen, ['small', 'big', 'after'])
})

test('bytes pipelined behind STARTTLS are discarded, and the session goes on over TLS', async (t) => {
  const { client, session } = await serve(t, { tls: await tlsSource() })
  client.write('tls\ninjected\n')
  await read(client, (text) => text === 'hello\ngo\n')
  const secure = tlsConnect({ socket: client, rejectUnauthorized: false })
  await once(secure, 'secureConnect')
  secure.write('safe\n')
  assert.equal(await read(secure, (text) => text.includes('safe\n')), 'safe\n')
  assert.deepEqual(session.seen, ['tls', 'secure TLSv1.3', 'safe'])
})

test('implicit TLS greets after the handshake', async (t) => {
  const { client } = await serve(t, { tls: await tlsSource(), implicit: true })
  const secure = tlsConnect({ socket: client, rejectUnauthorized: false })
  assert.equal(await read(secure, (text) => text.includes('\n')), 'hello\n')
})

test('plain text where TLS is expected ends the connection and nothing else', async (t) => {
  const { client, closed, session } = await serve(t, { tls: await tlsSource(), implicit: true })
  client.write('EHLO x\r\n')
  await closed
  assert.deepEqual(session.seen, ['end'])
})

test('a timeout and a drain let the session have the last word', async (t) => {
  const first = await serve(t)
  first.connection.timeout(0)
  assert.equal(await read(first.client, (text) => text.includes('slow')), 'hello\ntoo slow\n')
  const second = await serve(t)
  second.connection.drain(0)
  assert.equal(await read(second.client, (text) => text.includes('going')), 'hello\ngoing\n')
})

test('a client that vanishes is told to the session once', async (t) => {
  const { client, session, closed } = await serve(t)
  await read(client, (text) => text === 'hello\n')
  client.resetAndDestroy()
  await closed
  assert.deepEqual(session.seen, ['end'])
})
