// A thousand wrong logins at once: passwords are checked where they hold up nobody, and mail is accepted meanwhile.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { greeted, handInBy } from '../support/mail.ts'
import { plain } from '../support/sasl.ts'
import { startServer } from '../support/server.ts'
import { SmtpClient } from '../support/smtp-client.ts'

const LOGINS_AT_ONCE = 1000
const MESSAGES = 100
const MS_MAX = 20_000

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const server = stack.use(
  await startServer({
    accounts: [{ name: 'anna@home.test', password: 'secret' }],
    allowPlaintextAuth: true,
    routes: [{ domain: '*', to: 'discard:' }],
    limits: { connectionsPerClientMax: 2000 },
    log: { level: 'error' },
  }),
)

async function guess(client: SmtpClient, name: string): Promise<number> {
  await client.command('EHLO client.test')
  return (await client.command(`AUTH PLAIN ${plain(name, 'wrong')}`)).code
}

/** How long each of the messages takes, in ms. */
async function handInMany(client: SmtpClient): Promise<number[]> {
  const times: number[] = []
  for (let n = 0; n < MESSAGES; n++) {
    const before = performance.now()
    await handInBy(client, { to: 'b@c.test' })
    times.push(performance.now() - before)
  }
  return times
}

test('a hundred messages are accepted while a thousand wrong logins are looked at', async (t) => {
  const clients: SmtpClient[] = []
  for (let n = 0; n < LOGINS_AT_ONCE; n++) clients.push(await SmtpClient.connect(server.port()))
  using sender = await greeted(server.port())
  const guesses = clients.map((client, n) => guess(client, n % 2 === 0 ? 'anna@home.test' : `nobody${n}@home.test`))
  const started = performance.now()
  const times = await handInMany(sender)
  const took = performance.now() - started
  const codes = await Promise.all(guesses)
  for (const client of clients) client[Symbol.dispose]()
  t.diagnostic(`${MESSAGES} messages in ${took.toFixed(0)} ms, the slowest in ${Math.max(...times).toFixed(0)} ms`)
  assert.ok(took < MS_MAX, `${took.toFixed(0)} ms`)
  // Refused, or told to come again because too many wait.
  assert.deepEqual(new Set(codes), new Set([454, 535]))
})
