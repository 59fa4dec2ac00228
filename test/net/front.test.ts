// Front over real loopback sockets: limits by client, also behind PROXY.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import { test } from 'node:test'
import { CidrSet } from '../../src/lib/address.ts'
import { ManualClock } from '../../src/lib/clock.ts'
import { ConnectionCounts, Front } from '../../src/net/front.ts'

const LIMITS = { connectionsMax: 10, connectionsPerClientMax: 2, proxyHeaderTimeoutMs: 1000 }

/** A listener whose verdicts come one by one. */
async function listening(counts: ConnectionCounts, proxies: readonly string[]) {
  const verdicts: string[] = []
  const releases: (() => void)[] = []
  const sockets: Socket[] = []
  let heard = Promise.withResolvers<void>()
  const tell = (verdict: string): void => {
    verdicts.push(verdict)
    heard.resolve()
  }
  const set = CidrSet.parse(proxies)
  assert(set.ok)
  const events = {
    admitted: (_socket: Socket, { client }: { readonly client: string }, release: () => void) => {
      releases.push(release)
      tell(`admitted ${client}`)
    },
    refused: (_socket: Socket, client: string, why: string) => tell(`${why} ${client}`),
  }
  const front = new Front(new ManualClock(), LIMITS, set.value, events, counts)
  const server: Server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => {
    sockets.push(socket)
    front.accept(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    releases,
    async verdict(first = ''): Promise<string> {
      heard = Promise.withResolvers<void>()
      const socket = connect(port, '127.0.0.1')
      sockets.push(socket)
      if (first !== '') socket.write(first)
      await heard.promise
      return verdicts.at(-1) as string
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

test('connections of one client count over all listeners of the thread', async () => {
  const counts = new ConnectionCounts()
  await using first = await listening(counts, [])
  await using second = await listening(counts, [])
  assert.equal(await first.verdict(), 'admitted 127.0.0.1')
  assert.equal(await second.verdict(), 'admitted 127.0.0.1')
  assert.equal(await first.verdict(), 'client-busy 127.0.0.1')
  assert.equal(await second.verdict(), 'client-busy 127.0.0.1')
  second.releases[0]?.()
  assert.equal(await first.verdict(), 'admitted 127.0.0.1')
})

test("behind a proxy the limit is the client's, and who sends no header is told apart", async () => {
  await using front = await listening(new ConnectionCounts(), ['127.0.0.1/32'])
  const header = 'PROXY TCP4 192.0.2.1 192.0.2.25 40000 25\r\n'
  assert.equal(await front.verdict(header), 'admitted 192.0.2.1')
  assert.equal(await front.verdict(header), 'admitted 192.0.2.1')
  assert.equal(await front.verdict(header), 'client-busy 192.0.2.1')
  assert.equal(await front.verdict('PROXY TCP4 192.0.2.2 192.0.2.25 40000 25\r\n'), 'admitted 192.0.2.2')
  assert.equal(await front.verdict('EHLO client.example\r\n'), 'proxy-missing 127.0.0.1')
})
