// Wrong logins without an end: every connection guesses, is refused, and guesses again, each from an address of its own.

import { connect, type Socket } from 'node:net'
import { workerData } from 'node:worker_threads'
import type { GuesserJob } from './guesser.ts'

const job = workerData as GuesserJob
const answered = new Int32Array(job.answered)
const GUESS = Buffer.from(`\0${job.account}\0wrong`).toString('base64')
/** Codes of a checked or refused password; anything else than these and a greeting opens a new connection. */
const REFUSED = /^(?:535|454)/

function addressOf(index: number): string {
  return `127.2.${Math.floor(index / 200)}.${(index % 200) + 1}`
}

function guess(index: number): void {
  const socket = connect({ host: '127.0.0.1', port: job.port, localAddress: addressOf(index) })
  socket.setEncoding('latin1')
  let line = ''
  socket.on('data', (text: string) => {
    line += text
    if (!line.endsWith('\n')) return
    const last = line.trimEnd().split('\r\n').at(-1) ?? ''
    line = ''
    if (/^\d{3} /.test(last)) next(socket, last)
  })
  socket.on('error', () => socket.destroy())
  // One that was turned away comes again, as guessers do.
  socket.on('close', () => setTimeout(() => guess(index), 100))
}

function next(socket: Socket, reply: string): void {
  if (reply.startsWith('220')) {
    socket.write('EHLO guesser.test\r\n')
    return
  }
  if (REFUSED.test(reply)) Atomics.add(answered, 0, 1)
  if (reply.startsWith('250') || REFUSED.test(reply)) socket.write(`AUTH PLAIN ${GUESS}\r\n`)
  else socket.destroy()
}

for (let index = 0; index < job.connections; index++) guess(index)
