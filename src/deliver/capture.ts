// A Maildir that takes every message of a route: written to tmp, synced, moved to new. Deliver threads.
//
// Content stays as it is stored, with CRLF; Return-Path and Delivered-To say what the envelope was.

import { mkdir, open, rename } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { BODY_PIECE_BYTES } from './limits.ts'
import type { BodyStream, MessageReader, StoredMessage } from './ports.ts'

export class Maildir {
  readonly #dir: string
  #made = false

  constructor(dir: string) {
    this.#dir = dir
  }

  /** Writes a message under `name`, on disk when it resolves. Rejects with the system's error; nothing is in `new` then. */
  async deliver(name: string, recipients: readonly string[], message: StoredMessage, reader: MessageReader): Promise<void> {
    if (!this.#made) await this.#make()
    const temporary = join(this.#dir, 'tmp', name)
    const file = await open(temporary, 'w', 0o600)
    try {
      await file.writeFile(envelopeFields(message.envelope.sender, recipients))
      if (message.inline) await file.writeFile(message.inline)
      else await copyBody(file, message, reader)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, join(this.#dir, 'new', name))
    await syncDirectory(join(this.#dir, 'new'))
  }

  async #make(): Promise<void> {
    for (const part of ['tmp', 'new', 'cur']) await mkdir(join(this.#dir, part), { recursive: true, mode: 0o700 })
    this.#made = true
  }
}

/** RFC 5321 §4.4: final delivery adds Return-Path. */
function envelopeFields(sender: string, recipients: readonly string[]): string {
  return `Return-Path: <${sender}>\r\n${recipients.map((recipient) => `Delivered-To: ${recipient}\r\n`).join('')}`
}

async function copyBody(file: FileHandle, message: StoredMessage, reader: MessageReader): Promise<void> {
  const stream = await reader.openBody(message)
  try {
    await copyStream(file, stream, message.envelope.bytes)
  } finally {
    stream.close()
  }
}

async function copyStream(file: FileHandle, stream: BodyStream, bytes: number): Promise<void> {
  const buffer = Buffer.allocUnsafe(BODY_PIECE_BYTES)
  for (let offset = 0; offset < bytes;) {
    const count = await stream.read(offset, buffer, 0, Math.min(buffer.length, bytes - offset))
    if (count === 0) throw new Error(`the body ends at ${offset} of ${bytes} bytes`)
    await file.writeFile(buffer.subarray(0, count))
    offset += count
  }
}

/** The name in a directory is durable only when the directory is. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
