// Accounts of the directory: added, changed and removed beside a running server, which knows it at the next login.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { greeted, handInBy, HELLO } from '../support/mail.ts'
import { plain } from '../support/sasl.ts'
import { rohrpost, startServer } from '../support/server.ts'
import type { SmtpClient } from '../support/smtp-client.ts'

const NAME = 'bert@home.test'

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const server = stack.use(
  await startServer({
    listeners: [{ protocol: 'submission', name: 'smtp', port: 0, tls: 'starttls' }],
    routes: [{ domain: '*', to: 'discard:' }],
  }),
)

async function account(words: readonly string[], password = ''): Promise<void> {
  const { code, stderr } = await rohrpost(['account', ...words, '--config', server.configPath], `${password}\n`)
  assert.deepEqual([code, stderr], [0, ''])
}

async function login(password: string, code: number): Promise<SmtpClient> {
  const client = await greeted(server.port())
  await client.startTls()
  await client.expect(250, 'EHLO client.test')
  await client.expect(code, `AUTH PLAIN ${plain(NAME, password)}`)
  return client
}

test('an account works from when it is added until it is removed', async () => {
  ;(await login('pencil', 535))[Symbol.dispose]()
  await account(['add', NAME, '--alias', '*@shop.test', '--password-stdin'], 'pencil')
  using open = await login('pencil', 235)
  await handInBy(open, { from: 'any@shop.test', to: 'b@c.test', content: HELLO.replace('anna@home.test', 'any@shop.test') })

  await account(['passwd', NAME, '--password-stdin'], 'rubber')
  ;(await login('pencil', 535))[Symbol.dispose]()
  ;(await login('rubber', 235))[Symbol.dispose]()

  await account(['set', NAME, '--no-aliases'])
  await open.expect(550, 'MAIL FROM:<any@shop.test>')
  await account(['remove', NAME])
  await open.expect(550, `MAIL FROM:<${NAME}>`)
  ;(await login('rubber', 535))[Symbol.dispose]()
})

test('who has been removed or disabled in the middle of a session is told that, not that a quota is used up', async () => {
  const gone = /^5\.7\.1 your account has been removed or disabled$/
  for (const end of [
    ['set', NAME, '--disable'],
    ['remove', NAME],
  ]) {
    if (end[0] === 'set') await account(['add', NAME, '--password-stdin'], 'pencil')
    else await account(['set', NAME, '--enable'])
    using open = await login('pencil', 235)
    await open.expect(250, `MAIL FROM:<${NAME}>`)
    await account(end)
    assert.match((await open.expect(550, 'RCPT TO:<b@c.test>')).lines[0] ?? '', gone)
    await open.expect(250, 'RSET')
    assert.match((await open.expect(550, 'MAIL FROM:<>')).lines[0] ?? '', gone)
  }
})
